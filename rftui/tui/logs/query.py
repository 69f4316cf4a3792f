"""What lines are looked for, and which are to be seen: on bytes, a block at a time."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rftui.tui.logs.stamps import SIGNS, Level, level_of

LEVELS: tuple[Level, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Query:
    """Text as the user typed it: `/…/` is a regular expression; without capitals it means capitals too."""

    text: str
    pattern: re.Pattern[bytes] | None = field(default=None, compare=False)
    """Of a regular expression."""
    shown: re.Pattern[str] = field(default=re.compile(""), compare=False)
    """Finds the same in text on the screen."""

    def find(self, data: bytes, at: int = 0) -> int:
        """Where the first match begins at or after `at`; −1: none. `data` is as `ready` gave it."""
        if self.pattern is None:
            return data.find(self._needle, at)
        found = self.pattern.search(data, at)
        return found.start() if found else -1

    def ready(self, data: bytes) -> bytes:
        """Data in which `find` finds: lowered where capitals do not count."""
        return data.lower() if self.pattern is None and self._folded else data

    def matches(self, line: bytes) -> bool:
        """Whether a line has it."""
        return self.find(self.ready(line)) >= 0

    @property
    def _folded(self) -> bool:
        return self.text == self.text.lower()

    @property
    def _needle(self) -> bytes:
        return self.text.encode()


def query(text: str) -> Query:
    """What a line of input asks for; ValueError says what is wrong with a regular expression."""
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        flags = 0 if text != text.lower() else re.IGNORECASE
        try:
            pattern = re.compile(text[1:-1].encode(), flags | re.MULTILINE)
            return Query(text, pattern, re.compile(text[1:-1], flags))
        except re.error as error:
            raise ValueError(f"{text} is no regular expression: {error}") from error
    flags = 0 if text != text.lower() else re.IGNORECASE
    return Query(text, None, re.compile(re.escape(text), flags))


def hits(wanted: Query, data: bytes, base: int, starts: Sequence[int]) -> Iterator[int]:
    """Starts of the lines that match; `data` begins at `base` and holds the last of them whole."""
    text, at = wanted.ready(data), 0
    while 0 <= at < len(data) and (found := wanted.find(text, at)) >= 0:
        line = bisect_right(starts, base + found) - 1
        end = starts[line + 1] - base if line + 1 < len(starts) else len(data)
        if line >= 0 and (
            wanted.pattern is None or wanted.matches(data[starts[line] - base : end].rstrip(b"\n"))
        ):
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
        return self.include is not None and self.include.find(self.include.ready(data)) < 0

    def passing(
        self, data: bytes, base: int, starts: Sequence[int], in_error: Callable[[int], bool]
    ) -> "array[int]":
        """Of lines that begin at `starts` those to be seen. `in_error`: the line is part of a traceback."""
        kept: list[int] | Sequence[int] = starts
        if self.include is not None:
            kept = list(hits(self.include, data, base, starts))
        if self.exclude is not None and kept:
            dropped = set(hits(self.exclude, data, base, starts))
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
