"""What one look through a whole file tells: where its lines are by number, and its tracebacks."""

from array import array
from collections.abc import Iterator
from itertools import accumulate

from rftui.tui.logs.files import BLOCK, LogFile
from rftui.tui.logs.tracebacks import OPENING, Traceback, traceback_at

STRIDE = 16
"""Blocks that are read at a time."""
MOST = 5000
"""Tracebacks of a file that are kept: a program that prints more of them says the same again and again."""


class Index:
    """Counts of lines per block of one file, in its order; the tracebacks at its end come first."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.tracebacks: dict[int, Traceback] = {}
        """By where they begin."""
        self.counts: array[int] = array("I")
        """Newlines of each block that was looked at."""
        self._generation = file.generation
        self._peeked = False
        self._at = 0

    @property
    def behind(self) -> int:
        """Bytes that are still to be looked at."""
        if self._generation != self.file.generation:
            return self.file.size
        return max(0, self.file.size - self._at)

    def advance(self) -> bool:
        """Look at the next megabyte; whether new tracebacks were found."""
        if self._generation != self.file.generation:
            self._generation, self._at, self._peeked = self.file.generation, 0, False
            del self.counts[:]
            self.tracebacks.clear()
        known = len(self.tracebacks)
        if not self._peeked:
            self._peeked = True
            last = max(0, self.file.blocks - STRIDE) * BLOCK
            self._find(last, self.file.read(last, STRIDE * BLOCK))
            return len(self.tracebacks) > known
        first = self._at // BLOCK
        del self.counts[first:]
        data = self.file.read(first * BLOCK, STRIDE * BLOCK)
        self.counts.extend(data.count(b"\n", at, at + BLOCK) for at in range(0, len(data), BLOCK))
        self._find(first * BLOCK, data)
        self._at = first * BLOCK + len(data) if data else self.file.size
        return len(self.tracebacks) > known

    def number(self, start: int) -> int | None:
        """The number of the line that begins there, from 1; None while nobody has counted that far."""
        block = start // BLOCK
        if block > len(self.counts) or self._generation != self.file.generation:
            return None
        return sum(self.counts[:block]) + self.file.block(block).data.count(b"\n", 0, start % BLOCK) + 1

    def offset(self, number: int) -> int | None:
        """Where the line of that number begins, the last one if there are fewer; None while not known."""
        before = 0
        for block, until in enumerate(accumulate(self.counts)):
            if number - 1 <= until:
                return self._newline(block, number - 1 - before)
            before = until
        return None if self.behind else self.file.line_start(max(0, self.file.size - 1))

    @property
    def lines(self) -> int:
        """Lines that were counted."""
        return sum(self.counts)

    def _newline(self, block: int, count: int) -> int:
        """After the newline of that count in a block; 0: where the block begins."""
        data, at = self.file.block(block).data, 0
        for _ in range(count):
            at = data.find(b"\n", at) + 1
        start = block * BLOCK + at
        return self.file.line_start(start) if not count else start

    def _find(self, base: int, data: bytes) -> None:
        for at in _all(data):
            if len(self.tracebacks) >= MOST:
                return
            start = self.file.line_start(base + at)
            found = traceback_at(self.file, start)
            if found is not None:
                self.tracebacks[start] = found


def _all(data: bytes) -> Iterator[int]:
    at = data.find(OPENING)
    while at >= 0:
        yield at
        at = data.find(OPENING, at + 1)
