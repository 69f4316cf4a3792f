"""Going through the lines of several files as if they were one: by time, in both directions, from anywhere.

No merged index is kept: a place is an offset in each file, and a step takes the file whose next line is the
earliest. That costs as much as the lines that are shown, whatever the number of lines behind them.
"""

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

    def after(self, offset: int) -> int | None:
        """The first line to be seen that begins at `offset` or later."""
        looked = 0
        for number in range(offset // BLOCK, self.file.blocks):
            if self.counts[number] == 0:
                continue
            looked += self.counts[number] == UNKNOWN
            if looked > self.at_once and not self.wanted.open:
                return None
            starts = self.passing(number)
            at = bisect_left(starts, offset)
            while at < len(starts):
                fold = self._fold(starts[at])
                if fold is None:
                    return starts[at]
                at = bisect_left(starts, fold.end, at + 1)
        return None

    def before(self, offset: int) -> int | None:
        """The last line to be seen that begins before `offset`."""
        looked = 0
        for number in range(min(max(0, offset - 1) // BLOCK, self.file.blocks - 1), -1, -1):
            if self.counts[number] == 0:
                continue
            looked += self.counts[number] == UNKNOWN
            if looked > self.at_once and not self.wanted.open:
                return None
            starts = self.passing(number)
            at = bisect_left(starts, offset) - 1
            while at >= 0:
                fold = self._fold(starts[at])
                if fold is None:
                    return starts[at]
                at = bisect_left(starts, fold.start, 0, at) - 1
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

    def _fold(self, start: int) -> Span | None:
        return _inside(self.folded, start)

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


class Place(NamedTuple):
    """An offset in each lane, and whose line comes next."""

    offsets: tuple[int, ...]
    first: int = -1
    """A lane; −1: that with the earliest line."""


class Line(NamedTuple):
    """A line by its lane and where it begins."""

    lane: int
    start: int


class Walk:
    """Steps through lanes in the order of time; a lane's own order is never changed."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        for lane in lanes:
            lane.at_once = max(2, AT_ONCE // len(lanes))

    @property
    def end(self) -> Place:
        """After the last line."""
        return Place(tuple(lane.file.size for lane in self.lanes))

    @property
    def begin(self) -> Place:
        """Before the first line."""
        return Place((0,) * len(self.lanes))

    def forward(self, place: Place, count: int) -> tuple[list[Line], Place]:
        """The next lines, at most `count`, and the place after them."""
        offsets = list(place.offsets)
        heads = _there((i, lane.after(offsets[i])) for i, lane in enumerate(self.lanes))
        lines: list[Line] = []
        forced = place.first
        while heads and len(lines) < count:
            lane = forced if forced in heads else min(heads, key=lambda i: (self.time(i, heads[i]), i))
            forced = -1
            start = heads.pop(lane)
            lines.append(Line(lane, start))
            offsets[lane] = self.lanes[lane].file.next_start(start)
            following = self.lanes[lane].after(offsets[lane])
            if following is not None:
                heads[lane] = following
        return lines, Place(tuple(offsets))

    def backward(self, place: Place, count: int) -> tuple[list[Line], Place]:
        """The lines before, at most `count`, in their order, and the place before them."""
        offsets = list(place.offsets)
        tails = _there((i, lane.before(offsets[i])) for i, lane in enumerate(self.lanes))
        lines: list[Line] = []
        first = place.first
        while tails and len(lines) < count:
            lane = max(tails, key=lambda i: (self.time(i, tails[i]), i))
            start = offsets[lane] = tails.pop(lane)
            first = lane
            lines.append(Line(lane, start))
            previous = self.lanes[lane].before(start)
            if previous is not None:
                tails[lane] = previous
        lines.reverse()
        return lines, Place(tuple(offsets), first)

    def time(self, lane: int, start: int) -> float:
        """What lines are put in order by; of a single file nothing but its own order."""
        return self.lanes[lane].file.time_at(start) if len(self.lanes) > 1 else 0.0

    def at_line(self, line: Line) -> Place:
        """The place before a line, the other lanes being where they are at that time."""
        time = self.lanes[line.lane].file.time_at(line.start)
        offsets = [
            line.start if i == line.lane else self._at_time(i, time, after=i < line.lane)
            for i in range(len(self.lanes))
        ]
        return Place(tuple(offsets), line.lane)

    def at_time(self, time: float) -> Place:
        """Before the first line of that naive time or later."""
        return Place(tuple(self._at_time(i, time, after=False) for i in range(len(self.lanes))))

    def at_share(self, share: float) -> Place:
        """As far down as this share of the longest file."""
        if not self.lanes:
            return Place(())
        lane = max(range(len(self.lanes)), key=lambda i: self.lanes[i].file.size)
        file = self.lanes[lane].file
        start = file.line_start(min(max(0, file.size - 1), int(share * file.size)))
        return self.at_line(Line(lane, start)) if len(self.lanes) > 1 else Place((start,))

    def share(self, place: Place) -> float:
        """How far down a place is, in bytes, from 0 to 1."""
        total = sum(lane.file.size for lane in self.lanes)
        return sum(place.offsets) / total if total else 0.0

    def _at_time(self, lane: int, time: float, *, after: bool) -> int:
        """The first line of that time or later (`after`: later), lines being in the order of time."""
        file = self.lanes[lane].file
        low, high = 0, file.size
        while high - low > BLOCK and (told := file.told_after((low + high) // 2)):
            start, then = told
            if then < time or (after and then == time):
                low = start
            else:
                high = min(start, (low + high) // 2)
        while low < high:
            start = file.line_start((low + high) // 2)
            then = file.time_at(start)
            if then < time or (after and then == time):
                low = file.next_start(start)
            else:
                high = start
        return low


def _there(starts: Iterable[tuple[int, int | None]]) -> dict[int, int]:
    return {lane: start for lane, start in starts if start is not None}


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
