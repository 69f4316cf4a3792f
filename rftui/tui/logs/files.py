"""One log file as it lies on disk: its lines by their offsets, a block at a time, however long it is.

A line begins after a newline; where a whole block has none, also at the block that follows it, so that no
line is longer than two blocks. The file may grow, be cut, be replaced, or be gone at any time.
"""

import os
import re
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rftui.tui.logs.played import Written
from rftui.tui.logs.stamps import first_time, goes_on, naive, time_of

BLOCK = 1 << 16
SHOWN = 1 << 14
"""Bytes of a line that are ever shown."""
_HEAD = 64
_NEAR = 4096
_STAMPED = 200
"""Bytes of a line that may tell its time."""
_INHERITED = 16
_CONTINUED = 200
"""Lines back of which one may tell the time of a line without; more where it goes on with the one before."""
_MARKS = 4096
_NEWLINE = re.compile(b"\n")


@dataclass(slots=True)
class Block:
    """`starts`: offsets in the file of the lines that begin here."""

    data: bytes
    starts: "array[int]"


class Blocks:
    """The blocks that were read last, of all files together."""

    def __init__(self) -> None:
        self.kept = 48
        self._blocks: OrderedDict[tuple[Path, int, int, int], Block] = OrderedDict()

    def get(self, key: tuple[Path, int, int, int], read: Callable[[], Block]) -> Block:
        """The block of that key; `read` when it is not there."""
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = read()
            while len(self._blocks) > self.kept:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(key)
        return block


@dataclass(eq=False)
class LogFile:
    """`writer` is who wrote it: `r3`, `launcher`. `born`: naive time of its first line, as far as known."""

    path: Path
    writer: str
    cache: Blocks
    born: float = 0.0
    size: int = 0
    generation: int = 0
    """Grows when the file is another one than before, or was cut."""
    written: Written | None = None
    """Of a run that is played again: how much of it there was."""
    _inode: int = -1
    _head: bytes = b""
    _modified: float = 0.0
    _marks: list[tuple[int, float]] = field(default_factory=list)
    """How long the file was, and when."""

    def look(self) -> bool:
        """Notice how long it is now; whether anything changed."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  one system call, no object
        except OSError:
            changed = self.size > 0
            if changed:
                self._forget()
            return changed
        modified = naive(found.st_mtime)
        size = self.written.bytes(found.st_size, modified) if self.written else found.st_size
        if size == self.size and found.st_ino == self._inode:
            return False
        if found.st_ino != self._inode or size < self.size or not self._same_head():
            self._forget()
            self._same_head()
            self._inode = found.st_ino
        self.size = size
        self._modified = modified
        self._mark(found.st_mtime)
        return True

    def read(self, start: int, count: int) -> bytes:
        """Bytes that are there; fewer where the file ends or is gone."""
        try:
            with self.path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), min(count, max(0, self.size - start)), start)
        except OSError:
            return b""

    def block(self, number: int) -> Block:
        """Lines that begin in the block of that number."""
        length = min(BLOCK, self.size - number * BLOCK)
        return self.cache.get((self.path, self.generation, number, length), lambda: self._read_block(number))

    def line_start(self, offset: int) -> int:
        """Where the line begins that has this byte."""
        return self._before(offset, bisect_right)

    def previous_start(self, offset: int) -> int | None:
        """Where the last line begins before this byte."""
        return self._before(offset, bisect_left) if offset > 0 and self.size else None

    def next_start(self, offset: int) -> int:
        """Where the first line begins after this byte; the end of the file if there is none."""
        for number in range(offset // BLOCK, self.blocks):
            starts = self.block(number).starts
            at = bisect_right(starts, offset)
            if at < len(starts):
                return starts[at]
        return self.size

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.size // BLOCK)

    def line(self, start: int) -> bytes:
        """The line that begins at `start`, without its end; at most 16 kB of it."""
        block = self.block(start // BLOCK)
        inside = start % BLOCK
        end = block.data.find(b"\n", inside)
        if end >= 0:
            return block.data[inside : min(end, inside + SHOWN)]
        if len(block.data) - inside >= SHOWN:
            return block.data[inside : inside + SHOWN]
        return self.read(start, SHOWN).partition(b"\n")[0]

    def whole_line(self, start: int, most: int = 1 << 20) -> bytes:
        """The line, at most a megabyte of it."""
        return self.read(start, most).partition(b"\n")[0]

    def time_at(self, start: int) -> float:
        """Naive seconds of the line that begins there: told by it or by lines before, else guessed."""
        line = self._head_of(start)
        told = time_of(line, self._modified)
        at: int | None = start
        for _ in range(_CONTINUED if goes_on(line) else _INHERITED):
            if told is not None or (at := self.previous_start(at or 0)) is None:
                break
            told = time_of(self._head_of(at), self._modified)
        return told if told is not None else self._guess(start)

    def told_after(self, offset: int) -> tuple[int, float] | None:
        """The next line that tells a time, if it is near: where it begins, and the time."""
        data = self.read(offset, _NEAR)
        first = data.find(b"\n") + 1
        found = first_time(data, first, self._modified) if first else None
        return (offset + found[0], found[1]) if found else None

    def tells_time(self) -> bool:
        """Whether one of its last lines has a time of its own."""
        at = self.previous_start(self.size)
        for _ in range(_INHERITED):
            if at is None:
                break
            if time_of(self._head_of(at), self._modified) is not None:
                return True
            at = self.previous_start(at)
        return not self.size

    def _head_of(self, start: int) -> bytes:
        inside = start % BLOCK
        data = self.block(start // BLOCK).data
        end = data.find(b"\n", inside, inside + _STAMPED)
        return data[inside : end if end >= 0 else inside + _STAMPED]

    def _read_block(self, number: int) -> Block:
        base = number * BLOCK
        before = min(base, BLOCK)
        data = self.read(base - before, before + BLOCK)
        previous, data = data[:before], data[before:]
        starts: array[int] = array("Q")
        if data and (not number or previous.endswith(b"\n") or b"\n" not in previous):
            starts.append(base)
        starts.extend(base + found.end() for found in _NEWLINE.finditer(data, 0, max(0, len(data) - 1)))
        return Block(data, starts)

    def _before(self, offset: int, bisect: "Callable[[array[int], int], int]") -> int:
        for number in range(min(offset // BLOCK, self.blocks - 1), -1, -1):
            starts = self.block(number).starts
            at = bisect(starts, offset)
            if at:
                return starts[at - 1]
        return 0

    def _guess(self, offset: int) -> float:
        marks = self._marks
        if not marks:
            return self.born
        at = bisect_right(marks, (offset, float("inf")))
        if at == 0:
            size, then = marks[0]
            return self.born + (then - self.born) * offset / max(1, size)
        return marks[min(at, len(marks) - 1)][1]

    def _mark(self, modified: float) -> None:
        now = naive(modified if not self._marks else time.time())
        self._marks.append((self.size, now))
        if len(self._marks) > _MARKS:
            self._marks[1:-1] = self._marks[2:-1:2]

    def _same_head(self) -> bool:
        """Whether it still begins as it did: a file that was cut may have grown beyond its old size."""
        try:
            with self.path.open("rb", buffering=0) as file:
                head = file.read(_HEAD)
        except OSError:
            return False
        same = head.startswith(self._head)
        self._head = head
        return same

    def _forget(self) -> None:
        self.generation += 1
        self.size, self._inode, self._head = 0, -1, b""
        self._marks.clear()
