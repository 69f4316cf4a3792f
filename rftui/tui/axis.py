"""Which stretch of a run the charts show, and along which axis: steps, time or tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import Literal

AxisName = Literal["step", "wall", "tokens"]
AXES: tuple[AxisName, ...] = ("step", "wall", "tokens")

LEAST = 8
"""The narrowest stretch, in steps, seconds or tokens."""
_LADDER = (
    1.0,
    1.12,
    1.25,
    1.4,
    1.6,
    1.8,
    2.0,
    2.24,
    2.5,
    2.8,
    3.2,
    3.6,
    4.0,
    4.5,
    5.0,
    5.6,
    6.4,
    7.2,
    8.0,
    9.0,
)
_SHIFTS = 8
"""A stretch that follows the newest point moves on by this part of its width at a time."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stretch:
    """`width` of the axis up to `end`; None: all of it, and up to the newest point.

    What follows a growing run ends a little after its newest point and stays there until that is reached, so
    that a new point changes only its own column and not the whole picture.
    """

    axis: AxisName = "step"
    width: float | None = None
    end: float | None = None

    def span(self, bounds: Span, growing: bool) -> Span:
        """First and last x to draw of a run that reaches over `bounds`."""
        first, last = bounds
        if self.width is None:
            return first, first + rounded_up(last - first) if growing else last
        end = self.end
        if end is None:
            shift = self.width / _SHIFTS
            end = ceil(last / shift) * shift if growing else last
        return end - self.width, end

    def zoomed(self, factor: float, bounds: Span, growing: bool, at: float | None = None) -> "Stretch":
        """`factor` times as wide (0.5: closer), with `at` where it was, or else the right end."""
        lo, hi = self.span(bounds, growing)
        whole = bounds[1] - bounds[0]
        width = max(min(LEAST, whole), (hi - lo) * factor)
        if width >= whole:
            return replace(self, width=None, end=None)
        if at is None:
            return replace(self, width=width)
        end = at + (hi - at) * width / (hi - lo)
        return replace(self, width=width, end=end)._kept_inside(bounds)

    @staticmethod
    def around(step: int, last: int, beside: int) -> "Stretch":
        """That many steps before and after one, as far as the run of `last` steps has them."""
        width = 2 * beside
        return Stretch(width=width, end=max(width, min(step + beside, last))) if last > width else Stretch()

    def panned(self, share: float, bounds: Span, growing: bool) -> "Stretch":
        """Moved by this share of its width; what reaches the newest point follows it again."""
        if self.width is None:
            return self
        _, hi = self.span(bounds, growing)
        return replace(self, end=hi + share * self.width)._kept_inside(bounds)

    def _kept_inside(self, bounds: Span) -> "Stretch":
        assert self.width is not None and self.end is not None
        if self.end >= bounds[1]:
            return replace(self, end=None)
        return replace(self, end=max(self.end, bounds[0] + self.width))


def rounded_up(span: float) -> float:
    """The next of a ladder of twenty numbers per power of ten; at least `LEAST`."""
    if span <= LEAST:
        return LEAST
    power = 10.0 ** floor(log10(span))
    return next((step * power for step in _LADDER if step * power >= span - 1e-9), 10 * power)


def next_axis(axis: AxisName, having: Sequence[AxisName]) -> AxisName:
    """The next axis of those that the run has data for."""
    return having[(having.index(axis) + 1) % len(having)] if axis in having else having[0]
