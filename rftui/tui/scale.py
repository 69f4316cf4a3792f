"""Axis arithmetic: nice ticks, labels of bounded width, and the value range a chart spans."""

import math
from collections.abc import Iterable

from rftui.tui.axis import AxisName

LABEL_WIDTH = 5
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Seconds between the ticks of a time axis."""


def nice_step(span: float, most: int) -> float:
    """The smallest step of the form 1, 2 or 5 × 10ᵏ that cuts `span` into fewer than `most` intervals."""
    if span <= 0 or most < 2:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(m * power for m in (1, 2, 5, 10, 20) if span / (m * power) < most)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` nice values inside [low, high]; never the same value twice."""
    step = nice_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def value_range(values: Iterable[float]) -> tuple[float, float]:
    """The range to draw for finite values: 4 % of air around them, from zero when they come near it."""
    values = list(values)
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if low == high:
        return (0.0, 1.0) if low == 0 else (low - abs(low) / 2, low + abs(low) / 2)
    air = (high - low) * 0.04
    if 0 <= low < high / 4:
        return _steady(0.0, high + air)
    if low / 4 < high <= 0:
        return _steady(low - air, 0.0)
    return _steady(low - air, high + air)


def _steady(low: float, high: float) -> tuple[float, float]:
    """Rounded outward a little, so that not every new extreme moves the whole picture."""
    step = nice_step(high - low, 32)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def log_range(logarithms: Iterable[float]) -> tuple[float, float]:
    """The range to draw of decimal logarithms: to the next tenth of a decade, at least half a decade."""
    values = list(logarithms)
    low, high = math.floor(min(values) * 10 - 0.5) / 10, math.ceil(max(values) * 10 + 0.5) / 10
    short = max(0.0, 0.5 - (high - low)) / 2
    return low - short, high + short


def y_labels(low: float, high: float, most: int, log: bool) -> list[tuple[float, str]]:
    """Where the value axis is marked, and how; `low` and `high` are logarithms if `log`."""
    if not log:
        step = nice_step(high - low, most)
        return [(tick, label(tick, step)) for tick in ticks(low, high, most)]
    decades = [float(decade) for decade in range(math.ceil(low), math.floor(high) + 1)]
    if len(decades) > 1:
        every = math.ceil(len(decades) / most)
        return [(mark, label(10**mark, 10**mark)) for mark in decades if mark % every == 0]
    step = nice_step(10**high - 10**low, most)
    return [(math.log10(tick), label(tick, step)) for tick in ticks(10**low, 10**high, most) if tick > 0]


def x_ticks(first: float, last: float, most: int, axis: AxisName) -> list[float]:
    """Marks of the x axis: whole steps, round times, round numbers of tokens."""
    if axis != "wall":
        return [tick for tick in ticks(first, last, most) if axis == "tokens" or tick == int(tick)]
    span = last - first
    step = next((t for t in _TIMES if span / t < most), math.ceil(span / 86400 / most) * 86400)
    return [float(i * step) for i in range(math.ceil(first / step), math.floor(last / step) + 1)]


def x_label(x: float, axis: AxisName, span: float) -> str:
    """A step, a time since the start (to the second, minute or hour, as `span` asks), a number of tokens."""
    if axis == "step":
        return f"{x:.0f}"
    if axis == "tokens":
        return si(round(x))
    seconds = round(x)
    if span < 600:
        return f"{seconds // 60}:{seconds % 60:02d}"
    hours, minutes = divmod(round(x / 60), 60)
    if not hours:
        return f"{minutes}m"
    return f"{hours}h{minutes:02d}" if span < 200_000 else f"{seconds // 86400}d{hours % 24:02d}h"


def label(value: float, step: float) -> str:
    """`value` as an axis label of at most `LABEL_WIDTH` characters; empty if it does not fit."""
    if abs(value) < step / 1e6:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e4:
        text = si(value)
    elif step < 1e-3 and magnitude < 1e-2:
        text = _scientific(value)
    else:
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{value:.{decimals}f}"
        if len(text) > LABEL_WIDTH:
            text = text.replace("0.", ".", 1)
    return text if len(text) <= LABEL_WIDTH else ""


def _scientific(value: float) -> str:
    """`3e-6`: a number with the fewest digits that do not change it at three digits."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def si(value: float) -> str:
    """A number in three digits and, when large, a suffix: `0.612`, `18.4k`, `1.02M`."""
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            scaled = value / limit
            return f"{scaled:.3g}{suffix}" if abs(scaled) < 999.5 else f"{scaled:.0f}{suffix}"
    return f"{value:.3g}"
