"""How much of a log had been written by the time that a replay has reached: its lines tell."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from rftui.tui.logs.stamps import naive, time_of

if TYPE_CHECKING:
    from rftui.runs.replay import ReplayClock, StepTimes

NEAR = 1 << 16
"""Bytes that are looked through one by one."""
FAR = 1 << 20
"""Bytes that are looked through for a line that tells; after as many without one nothing is told."""
_HEAD = 200
"""Bytes of a line that may tell."""
_STEP = re.compile(rb"(?<!warm-up )\bstep (\d+)\b")


class Told(NamedTuple):
    """A line that tells when it was written: up to which byte it goes, and whether that was by now."""

    end: int
    came: bool


class Played:
    """Where a replay is. For one thread."""

    def __init__(self, clock: "ReplayClock", steps: "StepTimes") -> None:
        self.clock = clock
        self._steps = steps

    @property
    def now(self) -> float:
        """The time that it has reached, as lines tell it: seconds of the local clock since 1970."""
        return naive(self.clock())

    @property
    def step(self) -> int:
        """The newest step that was done by then."""
        return self._steps.at(self.clock())

    def written(self, path: Path) -> "Written":
        """How much of a log had been written by then."""
        return Written(path, self)


class Written:
    """Of one log. A line that does not tell its time comes with the next one that does, or at the end."""

    def __init__(self, path: Path, played: Played) -> None:
        self.silent = False
        """No line tells when it was written."""
        self._path = path
        self._played = played
        self._rewinds = played.clock.rewinds
        self._until = 0
        self._searched = (-1, -1)
        """From where up to where no line told anything, whatever the time."""

    def bytes(self, size: int, modified: float) -> int:
        """How many of `size` bytes; `modified`, its naive time, dates clocks that have no date."""
        clock = self._played.clock
        if clock.ended:
            self.silent = False
            return size
        if self._rewinds != clock.rewinds or self._until > size:
            self._rewinds, self._until = clock.rewinds, 0
        if self._searched == (self._until, size):
            self.silent = not self._until
            return self._until
        lines = _Lines(size, modified, self._played.now, self._played.step)
        try:
            with self._path.open("rb") as file:
                self._until = self._look(file, lines)
        except OSError:
            self._until = 0
        return self._until

    def _look(self, file: BinaryIO, lines: "_Lines") -> int:
        first = next(lines.telling(file, self._until), None)
        self.silent = first is None and not self._until
        self._searched = (self._until, lines.size) if first is None else (-1, -1)
        if first is None or not first.came:
            return self._until
        low, high = first.end, lines.size
        while high - low > NEAR:
            middle = (low + high) // 2
            told = next(lines.telling(file, middle), None)
            if told is not None and told.came:
                low = told.end
            else:
                high = middle
        for told in lines.telling(file, low):
            if not told.came:
                break
            low = told.end
        return low


class _Lines(NamedTuple):
    """Lines of a log of `size` bytes, held against a time and a step."""

    size: int
    modified: float
    now: float
    step: int

    def telling(self, file: BinaryIO, at: int) -> Iterator[Told]:
        """Lines that tell, from the first that begins at `at` or later."""
        end = min(self.size, at + FAR)
        file.seek(max(0, at - 1))
        at = file.tell() + len(file.readline(FAR)) if at else 0
        while at < end and (line := file.readline(FAR)):
            at += len(line)
            came = self._came(line)
            if came is not None:
                yield Told(min(at, self.size), came)

    def _came(self, line: bytes) -> bool | None:
        """Whether a line had come by now; None where it does not tell."""
        found = _STEP.search(line, 0, _HEAD)
        if found:
            return int(found[1]) <= self.step
        told = time_of(line[:_HEAD], self.modified)
        return None if told is None else told <= self.now
