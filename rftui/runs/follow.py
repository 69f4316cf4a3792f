"""Follows growing files: what is new since the last poll, each byte read once, however the files behave.

A torn last line waits for its newline; a damaged line, an unknown kind and a newer field cost that line or
field only and are counted; a truncated or replaced file is read again from its start; new files join.
"""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.events import AnyEvent

CHUNK = 1 << 18
"""Bytes decoded at once: bounds the memory that decoded events take."""
MAX_LINE = 1 << 24
"""What comes before this many bytes without a newline is dropped, which makes the rest a damaged line."""
_FINGERPRINT = 64
_FIRST_LINE = 4096

_KINDS = frozenset(kind.__struct_config__.tag for kind in AnyEvent.__args__)


class _Kind(msgspec.Struct):
    kind: str


class GrowingFile:
    """The complete lines added to one file since the last read.

    With `tail_bytes` the first read starts that far from the end (after the first line, which is always
    read): the newest part of a long file at once.
    """

    def __init__(self, path: Path, tail_bytes: int | None = None) -> None:
        self.path = path
        self.behind = 0
        """Bytes known to be there and not read yet."""
        self._tail = tail_bytes
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self._inode = -1
        self._head = b""
        self._pending = b""

    def read(self, max_bytes: int = CHUNK) -> bytes:
        """Whole lines, at most about `max_bytes`; empty when nothing new is complete or the file is gone."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  one system call, no object
            if found.st_ino != self._inode or found.st_size < self._offset:
                self._forget()
                self._inode = found.st_ino
            if found.st_size == self._offset:
                self.behind = 0
                return b""
            with self.path.open("rb", buffering=0) as file:
                data = self._read_new(file, found.st_size, max_bytes)
        except OSError:
            self._forget()
            self.behind = 0
            return b""
        self.behind = max(0, found.st_size - self._offset)
        return self._whole_lines(data)

    def measure(self) -> None:
        """Bring `behind` up to date without reading."""
        try:
            self.behind = max(0, self.path.stat().st_size - self._offset)
        except OSError:
            self.behind = 0

    def _read_new(self, file: BinaryIO, size: int, max_bytes: int) -> bytes:
        """The next bytes of an open file, after making sure that it is still the one read before."""
        head = file.read(_FINGERPRINT)
        if not head.startswith(self._head):
            self._forget()
            self._inode = os.fstat(file.fileno()).st_ino
        self._head = head
        first = b""
        if self._tail is not None and self._offset == 0 and size > self._tail + _FIRST_LINE:
            file.seek(0)
            line, newline, _ = file.read(_FIRST_LINE).partition(b"\n")
            file.seek(size - self._tail)
            skipped = file.read(CHUNK).find(b"\n") + 1
            first, self._offset = (line + newline) if newline else b"", size - self._tail + skipped
        file.seek(self._offset)
        data = file.read(max_bytes)
        self._offset += len(data)
        return first + data

    def _whole_lines(self, data: bytes) -> bytes:
        data = self._pending + data
        end = data.rfind(b"\n") + 1
        self._pending = data[end:]
        if len(self._pending) > MAX_LINE:
            self._pending = b""
        return data[:end]


class EventFollower:
    """The events added to all files of a run's `events` folder, in the order of each file.

    `tail_bytes`: start that far from the end of each file (see `GrowingFile`). `only`: the name of the one
    file to follow. `unknown` counts lines of kinds this version does not know, `corrupt` lines that are no
    event at all.
    """

    def __init__(self, events_dir: Path, *, tail_bytes: int | None = None, only: str = "") -> None:
        self.events_dir = events_dir
        self._only = only
        self.unknown = 0
        self.corrupt = 0
        self._tail = tail_bytes
        self._files: deque[GrowingFile] = deque()
        self._known: set[str] = set()
        self._decoder = msgspec.json.Decoder(AnyEvent)
        self._kind_decoder = msgspec.json.Decoder(_Kind)

    @property
    def behind(self) -> int:
        """Bytes that the last poll saw and left for the next; 0 when it read everything."""
        return sum(file.behind for file in self._files)

    def poll(self, max_bytes: int = 8 << 20) -> list[AnyEvent]:
        """Events that are new, from at most about `max_bytes` of text, taking turns between files."""
        self._discover()
        events: list[AnyEvent] = []
        idle = 0
        while max_bytes > 0 and idle < len(self._files):
            file = self._files[0]
            self._files.rotate(-1)
            lines = file.read(min(CHUNK, max_bytes))
            max_bytes -= len(lines)
            events += self._decode(lines)
            idle = 0 if file.behind else idle + 1
        if idle < len(self._files):
            for file in self._files:
                file.measure()
        return events

    def _discover(self) -> None:
        try:
            # called often, for names only
            names = [self._only] if self._only else os.listdir(self.events_dir)  # noqa: PTH208
        except OSError:
            return
        for name in sorted(names):
            if name.endswith(".jsonl") and name not in self._known:
                self._known.add(name)
                self._files.append(GrowingFile(self.events_dir / name, self._tail))

    def _decode(self, lines: bytes) -> list[AnyEvent]:
        try:
            return self._decoder.decode_lines(lines)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return list(self._decode_each(lines))

    def _decode_each(self, lines: bytes) -> Iterator[AnyEvent]:
        for line in lines.split(b"\n"):
            if not line.strip():
                continue
            try:
                yield self._decoder.decode(line)
            except (ValueError, RecursionError):
                if self._is_unknown_kind(line):
                    self.unknown += 1
                else:
                    self.corrupt += 1

    def _is_unknown_kind(self, line: bytes) -> bool:
        try:
            return self._kind_decoder.decode(line).kind not in _KINDS
        except (ValueError, RecursionError):
            return False


class LogFollower:
    """The complete lines added to one log file, as text; bytes that are no UTF-8 are shown as U+FFFD."""

    def __init__(self, path: Path, *, tail_bytes: int | None = None) -> None:
        self._file = GrowingFile(path, tail_bytes)

    @property
    def behind(self) -> int:
        """Bytes that the last poll left for the next."""
        return self._file.behind

    def poll(self, max_bytes: int = 1 << 20) -> list[str]:
        """New lines without their line ends, from at most about `max_bytes`."""
        return self._file.read(max_bytes).decode(errors="replace").split("\n")[:-1]
