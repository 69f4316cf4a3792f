"""Lines of braille dots: which dots of each column are drawn, two columns and four rows to a character."""

from collections.abc import Sequence
from math import floor, isnan

from rftui.runs.series import Bucket

_HALF_UP = 0.5 + 1e-6
"""Rounds halves up in spite of rounding errors, so that a constant stays on one row."""

_LEFT_DOTS = (0x40, 0x04, 0x02, 0x01)
_RIGHT_DOTS = (0x80, 0x20, 0x10, 0x08)
PATTERNS = [
    [
        chr(
            0x2800
            + sum(d for bit, d in enumerate(_LEFT_DOTS) if left >> bit & 1)
            + sum(d for bit, d in enumerate(_RIGHT_DOTS) if right >> bit & 1)
        )
        for right in range(16)
    ]
    for left in range(16)
]
"""Braille characters by the four dots of the left and of the right column, the lowest dot in bit 0."""


def dot(value: float, low: float, high: float, dots: int) -> int:
    """The dot row of a value, counted from the bottom."""
    exact = (value - low) / (high - low) * (dots - 1)
    return max(0, min(dots - 1, floor(exact + _HALF_UP)))


def masks(buckets: Sequence[Bucket], cells: int, low: float, high: float, dots: int) -> list[int]:
    """One integer per dot column whose set bits are the dots to draw; neighbours are joined by a line."""
    drawn = [0] * (2 * cells)
    before: tuple[int, int] | None = None
    for bucket in buckets:
        if isnan(bucket.last):
            before = None
            continue
        at = bucket.column
        bottom = top = last = dot(bucket.last, low, high, dots)
        if bucket.min != bucket.max:
            bottom, top = dot(bucket.min, low, high, dots), dot(bucket.max, low, high, dots)
        drawn[at] |= _bar(bottom, top)
        if before:
            start, level = before
            _join(drawn, start, level, at, max(bottom, min(top, level)))
        before = (at, last)
    return drawn


def _bar(bottom: int, top: int) -> int:
    """A mask with the bits from `bottom` to `top` set, both included."""
    return (1 << (top + 1)) - (1 << bottom)


def _join(masks: list[int], start: int, level: int, end: int, target: int) -> None:
    """Draw a straight line between two dots; every column covers half the way to its neighbours."""
    if end == start + 1:  # nearly always
        middle = round((level + target) / 2)
        if level != target:
            masks[start] |= _bar(min(level, middle), max(level, middle))
            masks[end] |= _bar(min(middle, target), max(middle, target))
        return
    slope = (target - level) / (end - start)
    for column in range(start, end + 1):
        one = round(level + slope * max(0.0, column - start - 0.5))
        two = round(level + slope * min(end - start, column - start + 0.5))
        masks[column] |= _bar(min(one, two), max(one, two))
