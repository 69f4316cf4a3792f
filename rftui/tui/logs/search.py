"""Search through whole files, at most a megabyte at a time, so that it can be watched and ended."""

import time
from collections import deque
from dataclasses import dataclass

from rftui.tui.logs.files import BLOCK
from rftui.tui.logs.query import Query, deadline
from rftui.tui.logs.walk import Line, Place, Walk

FIRST, MOST = 2 * BLOCK, 16 * BLOCK
"""Bytes that are searched at a time: first what is near, then more of what holds no match."""
OVERLAP = 4096
"""Bytes beyond a stride, in which a match may end that begins in it."""


@dataclass
class _Part:
    """What of a lane is still to be searched."""

    lane: int
    low: int
    high: int
    stride: int = FIRST


class Search:
    """The nearest line that matches, after a place or before it; past the end it goes on from the other."""

    def __init__(self, walk: Walk, wanted: Query, place: Place, *, forward: bool, skip: bool = False) -> None:
        """`skip`: the line at the place itself does not count."""
        self.wanted = wanted
        self.forward = forward
        self.hit: Line | None = None
        self.wrapped = False
        self.searched = 0
        """Bytes."""
        self.total = sum(lane.file.size for lane in walk.lanes)
        self._walk = walk
        here = list(place.offsets)
        if skip and forward and place.first >= 0:
            here[place.first] = walk.lanes[place.first].file.next_start(here[place.first])
        sizes = [lane.file.size for lane in walk.lanes]
        ahead = [_Part(i, at, size) for i, (at, size) in enumerate(zip(here, sizes, strict=True))]
        behind = [_Part(i, 0, min(at, size)) for i, (at, size) in enumerate(zip(here, sizes, strict=True))]
        first, second = (ahead, behind) if forward else (behind, ahead)
        self._parts = deque(first)
        self._rest = second

    def advance(self, seconds: float) -> bool:
        """Search for that long; whether it is done."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._parts:
                if self.hit is not None or self.wrapped:
                    return True
                self.wrapped = True
                self._parts = deque(self._rest)
                continue
            part = self._parts.popleft()
            if part.low < part.high and not self._settled(part) and not self._step(part):
                self._parts.append(part)
        return False

    def _settled(self, part: _Part) -> bool:
        """Whether nothing in it can be nearer than what was found."""
        if self.hit is None:
            return False
        edge = part.low if self.forward else max(0, part.high - 1)
        file = self._walk.lanes[part.lane].file
        time_there = self._walk.time(part.lane, file.line_start(edge))
        found = self._walk.time(*self.hit)
        return time_there > found if self.forward else time_there < found

    def _step(self, part: _Part) -> bool:
        """Search a stride of a lane; whether that ends the search in it."""
        file = self._walk.lanes[part.lane].file
        if self.forward:
            low, high = part.low, min(part.high, part.low + part.stride)
        else:
            low, high = max(part.low, part.high - part.stride), part.high
        part.stride = min(MOST, 2 * part.stride)
        data = self.wanted.ready(file.read(low, min(high + OVERLAP, part.high) - low))
        self.searched += high - low
        found = self._in(part.lane, data, low)
        if found is not None:
            self._offer(Line(part.lane, found))
            return True
        if self.forward:
            part.low = high
        else:
            part.high = low
        return part.low >= part.high or not data

    def _in(self, lane: int, data: bytes, base: int) -> int | None:
        """The first or last line in it that matches and is not filtered out."""
        file, until = self._walk.lanes[lane].file, deadline()
        at, last = self.wanted.find(data, 0, until), None
        while at >= 0:
            start = file.line_start(base + at)
            end = file.next_start(start)
            if self._counts(lane, start, end, until):
                if self.forward:
                    return start
                last = start
            then = max(end - base, at + 1)
            at = self.wanted.find(data, then, until) if then < len(data) else -1
        return last

    def _counts(self, lane: int, start: int, end: int, until: float) -> bool:
        one = self._walk.lanes[lane]
        if not (self.wanted.literal or self.wanted.matches(one.file.read(start, end - start), until)):
            return False
        return one.passes(start)

    def _offer(self, line: Line) -> None:
        if self.hit is None:
            self.hit = line
            return
        mine, best = (self._walk.time(*line), line.lane), (self._walk.time(*self.hit), self.hit.lane)
        if (mine < best) if self.forward else (mine > best):
            self.hit = line
