"""Going through the lines of several files as if they were one: by time, in both directions, from anywhere.

No merged index is kept: a place is an offset in each file, and a step takes the file whose next line is the
earliest. That costs as much as the lines that are shown, whatever the number of lines behind them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rftui.tui.logs.files import BLOCK
from rftui.tui.logs.lane import AT_ONCE, Lane


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
        lines, offsets = self._go(place, count, down=True)
        return lines, Place(offsets)

    def backward(self, place: Place, count: int) -> tuple[list[Line], Place]:
        """The lines before, at most `count`, in their order, and the place before them."""
        lines, offsets = self._go(place, count, down=False)
        return lines[::-1], Place(offsets, lines[-1].lane if lines else place.first)

    def _go(self, place: Place, count: int, *, down: bool) -> tuple[list[Line], tuple[int, ...]]:
        offsets, lines = list(place.offsets), list[Line]()
        nearest = ((i, lane.nearest(offsets[i], down=down)) for i, lane in enumerate(self.lanes))
        heads = {i: start for i, start in nearest if start is not None}
        forced = place.first if down else -1
        while heads and len(lines) < count:
            ordered = min if down else max
            lane = forced if forced in heads else ordered(heads, key=lambda i: (self.time(i, heads[i]), i))
            forced = -1
            start = heads.pop(lane)
            lines.append(Line(lane, start))
            offsets[lane] = self.lanes[lane].file.next_start(start) if down else start
            following = self.lanes[lane].nearest(offsets[lane], down=down)
            if following is not None:
                heads[lane] = following
        return lines, tuple(offsets)

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
