"""The charts' data of one moment: each wanted metric summarised over the wanted stretch of the run."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from rftui.runs.series import Bucket, Series
from rftui.runs.view import RunView
from rftui.tui.axis import AxisName, Span, Stretch


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the charts on the screen ask for: a number of columns for each metric, over one stretch."""

    columns: Mapping[str, int] = field(default_factory=dict)
    stretch: Stretch = field(default_factory=Stretch)


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric summarised in a number of columns; `steps` holds the last step of each bucket."""

    columns: int = 0
    buckets: tuple[Bucket, ...] = ()
    steps: tuple[int, ...] = ()


def axes_of(view: RunView) -> tuple[AxisName, ...]:
    """The axes that there is data for: tokens only where the run tells its throughput."""
    return ("step", "wall", "tokens") if len(view.state.tokens) > 1 else ("step", "wall")


def bounds_of(view: RunView, axis: AxisName) -> Span:
    """First and last x of all metrics; wall time in seconds since the first point."""
    filled = [series for series in view.series.values() if len(series)]
    if not filled:
        return 0.0, 0.0
    if axis == "tokens" and len(view.state.tokens):
        return 0.0, view.state.tokens.values[-1]
    if axis == "wall":
        origin = _origin(view)
        return 0.0, max(series.time(-1) for series in filled) - origin
    bounds = [series.bounds() for series in filled]
    return min(first for first, _ in bounds), max(last for _, last in bounds)


def curves(view: RunView, wanted: Wanted, span: Span) -> dict[str, Curve]:
    """The wanted metrics over `span` of their axis."""
    found = {}
    for name, columns in wanted.columns.items():
        series = view.series.get(name)
        if series is not None and columns > 0:
            buckets = tuple(_summary(view, series, wanted.stretch.axis, span, columns))
            found[name] = Curve(columns, buckets, tuple(series.steps[bucket.end - 1] for bucket in buckets))
    return found


def _summary(view: RunView, series: Series, axis: AxisName, span: Span, columns: int) -> list[Bucket]:
    lo, hi = span
    if axis == "wall":
        later = series.origin - _origin(view)
        return series.window(lo - later, hi - later, columns, "time")
    if axis == "tokens":
        tokens = view.state.tokens
        width = (hi - lo) / columns
        edges = [_step_at(tokens, lo + width * column) for column in range(columns)]
        return series.cut([*edges, _step_at(tokens, hi)])
    return series.window(lo, hi, columns)


def _origin(view: RunView) -> float:
    return min(series.origin for series in view.series.values() if len(series))


def _step_at(tokens: Series, count: float) -> int:
    """The first step by whose end that many tokens were generated; beyond all tokens, beyond all steps."""
    at = bisect_left(tokens.values, count)
    return tokens.steps[at] if at < len(tokens) else tokens.steps[-1] + 1
