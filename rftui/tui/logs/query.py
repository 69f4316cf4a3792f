"""What lines are looked for, and which are to be seen: on bytes, a block at a time."""

import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rftui.tui.logs.stamps import SIGNS, Level, level_of

if TYPE_CHECKING:
    import regex

LEVELS: tuple[Level, ...] = ("error", "warning", "info")
SHORT = 5
"""Bytes: with fewer, a search without capitals takes four times as long as one in lowered data."""
LIMIT_S = 1.0
"""Of the processor's time for a block: what is not looked through by then will not be in an hour either."""


class TooSlowError(Exception):
    """A regular expression that tries more than can be waited for."""

    def __init__(self, wanted: "Query") -> None:
        super().__init__(f"{wanted.text} takes too long")
        self.wanted = wanted


@dataclass(frozen=True)
class Query:
    """Text as the user typed it: `/…/` is a regular expression; without capitals it means capitals too."""

    text: str
    pattern: "regex.Pattern[bytes]" = field(compare=False)
    shown: "regex.Pattern[str]" = field(compare=False)
    """Finds the same in text on the screen."""
    literal: bool = field(compare=False)
    lowered: bool = field(compare=False)
    """Whether it is looked for in lowered data."""

    def ready(self, data: bytes) -> bytes:
        """Data in which `find` finds."""
        return data.lower() if self.lowered else data

    def find(self, data: bytes, at: int, deadline: float) -> int:
        """Where the first match begins at or after `at`; −1: none. TooSlowError at the `deadline`.

        `data` is as `ready` gave it.
        """
        try:
            found = self.pattern.search(data, at, timeout=_left(deadline))
        except TimeoutError:
            raise TooSlowError(self) from None
        return found.start() if found else -1

    def matches(self, line: bytes, deadline: float) -> bool:
        """Whether a line has it. A match that was found among other lines may go on into the next one."""
        return self.literal or self.find(line.rstrip(b"\n"), 0, deadline) >= 0

    def marks(self, text: str, deadline: float) -> tuple[tuple[int, int], ...]:
        """From where to where it stands in a line on the screen."""
        try:
            found = self.shown.finditer(text, timeout=_left(deadline))
            return tuple(each.span() for each in found if each.end() > each.start())
        except TimeoutError:
            raise TooSlowError(self) from None


def deadline() -> float:
    """By when a look through a block that begins now has to be done, in time that this thread has used."""
    return time.thread_time() + LIMIT_S


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.thread_time())


def query(text: str) -> Query:
    """What a line of input asks for; ValueError says what is wrong with a regular expression."""
    import regex  # which can be told to give up, lets other threads run, and is quick without capitals

    literal = not (len(text) > 2 and text.startswith("/") and text.endswith("/"))
    pattern = re.escape(text) if literal else text[1:-1]
    flags = 0 if text != text.lower() else regex.IGNORECASE
    lowered = literal and bool(flags) and len(text.encode()) < SHORT
    try:
        found = regex.compile(pattern.encode(), regex.MULTILINE | (0 if lowered else flags))
        return Query(text, found, regex.compile(pattern, flags), literal, lowered)
    except (regex.error, RecursionError) as error:
        raise ValueError(f"{text} is no regular expression: {error}") from error


def hits(wanted: Query, data: bytes, base: int, starts: Sequence[int], deadline: float) -> Iterator[int]:
    """Starts of the lines that match; `data` begins at `base` and holds the last of them whole."""
    text, at = wanted.ready(data), 0
    while 0 <= at < len(text) and (found := wanted.find(text, at, deadline)) >= 0:
        line = bisect_right(starts, base + found) - 1
        end = starts[line + 1] - base if line + 1 < len(starts) else len(data)
        if line >= 0 and wanted.matches(data[starts[line] - base : end], deadline):
            yield starts[line]
        at = max(end, found + 1)


@dataclass(frozen=True)
class Filter:
    """Which lines are to be seen."""

    include: Query | None = None
    exclude: Query | None = None
    levels: frozenset[Level] = frozenset(LEVELS)

    @property
    def open(self) -> bool:
        """Whether it lets everything through."""
        return self.include is None and self.exclude is None and len(self.levels) == len(LEVELS)

    def toggled(self, level: Level) -> "Filter":
        """With this level, or without; without the last one all of them come back."""
        levels = self.levels ^ {level}
        return replace(self, levels=levels or frozenset(LEVELS))

    def none(self, data: bytes) -> bool:
        """Whether surely no line of this data is to be seen; quick."""
        return self.include is not None and self.include.find(self.include.ready(data), 0, deadline()) < 0

    def passing(
        self, data: bytes, base: int, starts: Sequence[int], in_error: Callable[[int], bool]
    ) -> "array[int]":
        """Of lines that begin at `starts` those to be seen. `in_error`: the line is part of a traceback."""
        kept: list[int] | Sequence[int] = starts
        if self.include is not None:
            kept = list(hits(self.include, data, base, starts, deadline()))
        if self.exclude is not None and kept:
            dropped = set(hits(self.exclude, data, base, starts, deadline()))
            kept = [start for start in kept if start not in dropped]
        if len(self.levels) < len(LEVELS) and kept:
            kept = list(self._of_levels(data, base, starts, kept, in_error))
        return array("Q", kept)

    def _of_levels(
        self,
        data: bytes,
        base: int,
        starts: Sequence[int],
        kept: Sequence[int],
        in_error: Callable[[int], bool],
    ) -> Iterator[int]:
        lowered = data.lower()
        signed = {
            starts[max(0, bisect_right(starts, base + at) - 1)]
            for sign in SIGNS
            for at in _all(sign, lowered)
        }
        for start in kept:
            level: Level = "info"
            if in_error(start):
                level = "error"
            elif start in signed:
                end = data.find(b"\n", start - base)
                level = level_of(data[start - base : end if end >= 0 else len(data)])
            if level in self.levels:
                yield start


def _all(sign: bytes, data: bytes) -> Iterator[int]:
    at = data.find(sign)
    while at >= 0:
        yield at
        at = data.find(sign, at + 1)
