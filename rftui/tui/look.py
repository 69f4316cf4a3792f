"""How the charts are looked at, and what a chart shows of a snapshot looked at like that."""

from dataclasses import dataclass, field

from rftui.tui.axis import Stretch
from rftui.tui.baseline import LETTER
from rftui.tui.catalog import Metric
from rftui.tui.curves import Curve
from rftui.tui.plot import Line, Plot
from rftui.tui.snapshot import Snapshot
from rftui.tui.text import clean_line, number

SMOOTHING = (0.0, 0.6, 0.9)


@dataclass(frozen=True, slots=True)
class Look:
    """`smoothing`: weight of the moving average; `logarithmic`: metrics; `cursor`: x of the crosshair."""

    stretch: Stretch = field(default_factory=Stretch)
    smoothing: float = 0.6
    logarithmic: frozenset[str] = frozenset()
    cursor: float | None = None


def plot_of(metric: Metric, snapshot: Snapshot, look: Look) -> Plot:
    """The plot of one metric."""
    curve = snapshot.curves.get(metric.name, Curve())
    latest = snapshot.latest.get(metric.name)
    note = "no data yet"
    if curve.buckets:
        note = "no finite value"
    elif latest is not None and look.stretch.width is not None:
        note = "nothing in this stretch"
    behind, aside = _behind(metric, snapshot)
    return Plot(
        title=metric.title,
        value="" if latest is None else number(latest),
        buckets=curve.buckets,
        columns=curve.columns,
        x=snapshot.x,
        smoothing=look.smoothing,
        axis=snapshot.axis,
        steps=curve.steps,
        cursor=look.cursor,
        log=metric.name in look.logarithmic,
        note=note,
        aside=aside,
        others=behind,
    )


def _behind(metric: Metric, snapshot: Snapshot) -> tuple[tuple[Line, ...], str]:
    """The baseline's curve, and which run it is: also where it has none."""
    if snapshot.baseline is None:
        return (), ""
    name = clean_line(snapshot.baseline.name)
    curve = snapshot.baseline.curves.get(metric.name, Curve())
    if not curve.buckets:
        return (), f"reading {name}" if snapshot.baseline.loading else f"not in {name}"
    return (Line(LETTER, "behind", curve.buckets, curve.columns),), f"{LETTER} {name}"


def next_smoothing(weight: float, preferred: float) -> float:
    """The next of the weights, the user's own among them."""
    weights = sorted({*SMOOTHING, preferred})
    return weights[(weights.index(weight) + 1) % len(weights)]
