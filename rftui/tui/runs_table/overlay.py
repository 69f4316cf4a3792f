"""The curves of several runs as one chart, each with a colour, and with a letter for eyes without colours."""

from rftui.tui.catalog import title_of
from rftui.tui.plot import HUE_NAMES, Hue, Line, Plot
from rftui.tui.runs_table.comparison import Comparison


def hue(place: int) -> Hue:
    """The colour of the run at that place."""
    return HUE_NAMES[place % len(HUE_NAMES)]


def plot_of(comparison: Comparison, smoothing: float, log: bool) -> Plot:
    """The chart of the metric that was asked for."""
    reading = any(run.behind for run in comparison.runs)
    return Plot(
        title=title_of(comparison.asked.metric),
        x=comparison.x,
        smoothing=smoothing,
        axis=comparison.asked.axis,
        log=log,
        note="no values yet" if reading else "no run tells this metric",
        others=tuple(
            Line(run.letter, hue(place), run.curve.buckets, run.curve.columns)
            for place, run in enumerate(comparison.runs)
        ),
    )
