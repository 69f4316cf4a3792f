"""The real program in a pseudo-terminal: keys go in, and what it paints is read as a terminal reads it.

Chunks of output are stamped as they arrive, by a thread that does nothing else; the screen is made of them
afterwards (pyte), so that reading the screen does not count as the program's time.
"""

import fcntl
import os
import pty
import queue
import re
import select
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import psutil
import pyte

_UNKNOWN_TO_PYTE = re.compile(
    rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$]+[a-z]?|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP.*?\x1b\\"
)
_ASKS_SYNCHRONISED, _SAYS_SYNCHRONISED = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
KEYS = {"escape": b"\x1b", "enter": b"\r", "tab": b"\t", "space": b" ", "up": b"\x1b[A", "down": b"\x1b[B"}
KEYS |= {"right": b"\x1b[C", "left": b"\x1b[D", "end": b"\x1b[F", "home": b"\x1b[H"}


class Terminal:
    """One process of `argv` on a terminal of `size` (columns, rows); ended on leaving the context."""

    def __init__(self, argv: Sequence[str], size: tuple[int, int], env: dict[str, str] | None = None) -> None:
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._chunks: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.bytes = 0
        self.began = time.perf_counter()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
        )
        os.close(slave)
        self.watched = psutil.Process(self.process.pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._master)

    def press(self, key: str) -> float:
        """Send a key by its name, or characters as they are; when it was sent."""
        sent = time.perf_counter()
        os.write(self._master, KEYS.get(key, key.encode()))
        return sent

    def until(self, *texts: str, gone: str = "", timeout: float = 30.0) -> float:
        """When the chunk arrived with which all texts stood on the screen and `gone` did not."""
        return self.until_seen(
            lambda seen: all(text in seen for text in texts) and not (gone and gone in seen),
            timeout,
            f"{texts} without {gone!r}",
        )

    def until_seen(self, condition: Callable[[str], bool], timeout: float = 30.0, what: str = "it") -> float:
        """When the chunk arrived with which the screen met the condition; now, when it already did."""
        deadline = time.perf_counter() + timeout
        arrived = time.perf_counter()
        while not condition(self.text):
            try:
                arrived, chunk = self._chunks.get(timeout=max(0.01, deadline - time.perf_counter()))
            except queue.Empty:
                raise TimeoutError(f"no {what} in {timeout} s; the screen shows:\n{self.text}") from None
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", chunk))
        return arrived

    def until_quiet(self, seconds: float = 0.15, timeout: float = 30.0) -> float:
        """When the last chunk arrived before nothing came for so long."""
        deadline, arrived = time.perf_counter() + timeout, time.perf_counter()
        while time.perf_counter() < deadline:
            try:
                arrived, chunk = self._chunks.get(timeout=seconds)
            except queue.Empty:
                break
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", chunk))
        return arrived

    def burst(self, gap: float = 0.06, timeout: float = 5.0) -> float:
        """When the last chunk of the next burst of output arrived."""
        arrived, chunk = self._chunks.get(timeout=timeout)
        while True:
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", chunk))
            try:
                arrived, chunk = self._chunks.get(timeout=gap)
            except queue.Empty:
                return arrived

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.screen.display)

    def settle(self, seconds: float) -> None:
        """Take in what comes for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            try:
                _, chunk = self._chunks.get(timeout=left)
            except queue.Empty:
                return
            self._stream.feed(_UNKNOWN_TO_PYTE.sub(b"", chunk))

    def usage(self, seconds: float) -> tuple[float, float]:
        """Percent of a core, and bytes per second, over the next seconds; children count too."""
        before, written, begin = self.cpu_seconds(), self.bytes, time.perf_counter()
        time.sleep(seconds)
        took = time.perf_counter() - begin
        used = (self.cpu_seconds() - before) / took * 100, (self.bytes - written) / took
        self.settle(0.01)
        return used

    def memory(self) -> float:
        """Resident megabytes of the process."""
        return self.watched.memory_info().rss / 1e6

    def cpu_seconds(self) -> float:
        """CPU time used so far, with that of children that ended."""
        used = self.watched.cpu_times()
        return used.user + used.system + used.children_user + used.children_system

    def _read(self) -> None:
        while not self._ended.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if not ready:
                continue
            try:
                chunk = os.read(self._master, 1 << 16)
            except OSError:  # the program ended
                return
            self._chunks.put((time.perf_counter(), chunk))
            self.bytes += len(chunk)
            if _ASKS_SYNCHRONISED in chunk:
                os.write(self._master, _SAYS_SYNCHRONISED)
