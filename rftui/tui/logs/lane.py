"""The lines of one file that are to be seen, block by block."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rftui.tui.logs.files import BLOCK, LogFile
from rftui.tui.logs.query import LEVELS, Filter

_OVERHANG = 1 << 14
UNKNOWN = -1
AT_ONCE = 64
"""Blocks of all files that one step may look through for lines that pass the filter."""


class Span(NamedTuple):
    """Bytes from `start` to before `end`."""

    start: int
    end: int


class Lane:
    """The lines of one file that are to be seen: those that pass the filter and are not folded away."""

    def __init__(self, file: LogFile, wanted: Filter) -> None:
        self.file = file
        self.wanted = wanted
        self.errors: Sequence[Span] = ()
        """Tracebacks, in order."""
        self.folded: Sequence[Span] = ()
        """Lines that are folded away, in order."""
        self.counts: array[int] = array("i")
        """Per block how many lines pass the filter; UNKNOWN: nobody has looked."""
        self.at_once = AT_ONCE
        self._generation = file.generation
        self._size = 0
        self._passing: dict[int, array[int]] = {}
        self._scanned = 0
        self.grow()

    def grow(self) -> None:
        """The file has changed: what is known of its end is known no more."""
        if self._generation != self.file.generation:
            self._generation, self._size = self.file.generation, 0
            del self.counts[:]
            self._passing.clear()
        first = max(0, self._size // BLOCK - 1)
        del self.counts[first:]
        for number in [n for n in self._passing if n >= first]:
            del self._passing[number]
        self.counts.extend([UNKNOWN] * (self.file.blocks - len(self.counts)))
        self._size = self.file.size
        self._scanned = self.file.blocks

    def scan(self) -> bool:
        """Filter one more block that nobody has looked at, from the end; whether there was one."""
        while self._scanned > 0 and not self.wanted.open:
            self._scanned -= 1
            if self.counts[self._scanned] == UNKNOWN:
                self.passing(self._scanned)
                return True
        return False

    def mark(self, errors: Sequence[Span], folded: Sequence[Span]) -> None:
        """Other lines are tracebacks or folded away."""
        if len(self.wanted.levels) < len(LEVELS):
            for span in set(errors) ^ set(self.errors):
                self._doubt(span)
        self.errors, self.folded = errors, folded

    def passing(self, number: int) -> Sequence[int]:
        """Starts of the lines of a block that pass the filter."""
        if self.wanted.open:
            starts: Sequence[int] = self.file.block(number).starts
            self.counts[number] = len(starts)
            return starts
        kept = self._passing.get(number)
        if kept is None:
            kept = self._filter(number)
            self.counts[number] = len(kept)
            if len(self._passing) > 64:
                self._passing.clear()
            self._passing[number] = kept
        return kept

    def nearest(self, offset: int, *, down: bool) -> int | None:
        """The first line to be seen that begins at `offset` or later; or the last that begins before."""
        blocks = self.file.blocks
        onward = (
            range(offset // BLOCK, blocks) if down else range(min((offset - 1) // BLOCK, blocks - 1), -1, -1)
        )
        looked = 0
        for number in onward:
            if self.counts[number] == 0:
                continue
            looked += self.counts[number] == UNKNOWN
            if looked > self.at_once and not self.wanted.open:
                return None
            start = self._unfolded(self.passing(number), offset, down)
            if start is not None:
                return start
        return None

    def _unfolded(self, starts: Sequence[int], offset: int, down: bool) -> int | None:
        """The nearest of these lines that is not folded away."""
        at = bisect_left(starts, offset) - (not down)
        while 0 <= at < len(starts):
            fold = _inside(self.folded, starts[at])
            if fold is None:
                return starts[at]
            at = bisect_left(starts, fold.end, at + 1) if down else bisect_left(starts, fold.start, 0, at) - 1
        return None

    def passes(self, start: int) -> bool:
        """Whether the line passes the filter, folded away or not."""
        starts = self.passing(start // BLOCK)
        at = bisect_left(starts, start)
        return at < len(starts) and starts[at] == start

    def in_error(self, start: int) -> bool:
        """Whether the line is part of a traceback."""
        return _inside(self.errors, start) is not None

    def _doubt(self, span: Span) -> None:
        """Lines of the blocks of a span are to be filtered again."""
        for number in range(span.start // BLOCK, min(span.end // BLOCK + 1, len(self.counts))):
            self.counts[number] = UNKNOWN
            self._passing.pop(number, None)
            self._scanned = max(self._scanned, number + 1)

    def _filter(self, number: int) -> "array[int]":
        base = number * BLOCK
        data = self.file.read(base, BLOCK + _OVERHANG)
        end = data.find(b"\n", min(len(data), BLOCK) - 1) if len(data) >= BLOCK else -1
        if end >= 0:
            data = data[: end + 1]
        if self.wanted.none(data):
            return array("Q")
        starts = self.file.block(number).starts
        return self.wanted.passing(data, base, starts, self.in_error) if starts else array("Q")


def _inside(spans: Sequence[Span], start: int) -> Span | None:
    if not spans:
        return None
    at = bisect_right(spans, start, key=lambda span: span.start) - 1
    return spans[at] if at >= 0 and start < spans[at].end else None


def spans(pairs: Iterable[tuple[int, int]]) -> list[Span]:
    """In order, and without those that are inside others."""
    ordered: list[Span] = []
    for start, end in sorted(pairs):
        if ordered and end <= ordered[-1].end:
            continue
        if ordered and start < ordered[-1].end:
            start = ordered[-1].end
        ordered.append(Span(start, end))
    return ordered
