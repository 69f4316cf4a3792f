"""Axis arithmetic: nice ticks, labels of bounded width, and the value range a chart spans."""

import math
from collections.abc import Iterable

LABEL_WIDTH = 5


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
        return 0.0, high + air
    if low / 4 < high <= 0:
        return low - air, 0.0
    return low - air, high + air


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
