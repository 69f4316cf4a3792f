"""What the keys do to the charts of the live screen."""

from dataclasses import replace

from rftui.tui.axis import Stretch, next_axis
from rftui.tui.curves import Wanted
from rftui.tui.look import Look, next_smoothing
from rftui.tui.screens.area import AreaScreen
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.chart_grid import ChartGrid

_PAN = 0.25
"""Of the stretch's width."""


class ChartActions(AreaScreen):
    """Changes how the charts are looked at; for other data it asks."""

    look: Look
    snapshot: Snapshot | None

    def ask(self) -> None:
        """Have the charts' data taken now, and painted even if painting is paused."""
        raise NotImplementedError

    @property
    def charts(self) -> ChartGrid:
        """The charts."""
        return self.query_one("#charts", ChartGrid)

    def wanted(self) -> Wanted:
        """What the charts on the screen need."""
        shown = [chart for chart in self.charts.charts if chart.metric and chart.columns]
        return Wanted(
            {chart.metric.name: chart.columns for chart in shown if chart.metric}, self.look.stretch
        )

    def paint_charts(self) -> None:
        """Show the present snapshot by the present look."""
        if self.snapshot is not None:
            self.charts.show(self.snapshot, self.look)

    def action_page(self, pages: int) -> None:
        """Turn the page of charts."""
        self.charts.turn(pages)
        self.ask()

    def action_smooth(self) -> None:
        """Next weight of the moving average."""
        weight = next_smoothing(self.look.smoothing, self.context.settings.smoothing)
        self.look = replace(self.look, smoothing=weight)
        self.notify(f"moving average, weight {weight:g}" if weight else "no smoothing", timeout=2)
        self.paint_charts()

    def action_logarithmic(self) -> None:
        """Logarithmic value axis of the focused chart, or of all; again for a linear one."""
        focused = self.focused
        chosen = [focused] if isinstance(focused, Chart) else self.charts.charts
        names = {chart.metric.name for chart in chosen if chart.metric}
        before = self.look.logarithmic
        self.look = replace(self.look, logarithmic=before - names if names <= before else before | names)
        self.paint_charts()

    def action_axis(self) -> None:
        """Steps, time or tokens: whichever comes next and is known."""
        if self.snapshot is None:
            return
        axis = next_axis(self.snapshot.axis, self.snapshot.axes)
        self.look = replace(self.look, stretch=Stretch(axis), cursor=None)
        named = {"step": "steps", "wall": "time since the first step", "tokens": "response tokens"}
        self.notify(f"charts over {named[axis]}", timeout=2)
        self.ask()

    def action_closer(self, factor: float) -> None:
        """A narrower or wider stretch, around the crosshair if there is one."""
        if self.snapshot is not None:
            self._stretch(
                self.look.stretch.zoomed(factor, self.snapshot.bounds, self.snapshot.active, self.look.cursor)
            )

    def action_whole(self) -> None:
        """The whole run."""
        self._stretch(Stretch(self.look.stretch.axis))

    def action_follow_newest(self) -> None:
        """Up to the newest step, as wide as now."""
        self._stretch(replace(self.look.stretch, end=None))

    def action_crosshair(self) -> None:
        """Show the crosshair at the newest step, or put it away."""
        if self.snapshot is not None:
            newest = min(self.snapshot.bounds[1], self.snapshot.x[1])
            self.point(newest if self.look.cursor is None else None)

    def action_arrow(self, right: int, down: int) -> None:
        """Move the crosshair by columns, or else the zoomed stretch, or else the focus."""
        if self.snapshot is None:
            return
        if right and self.look.cursor is not None:
            first, last = self.snapshot.x
            cells = max((chart.columns // 2 for chart in self.charts.charts), default=0)
            if cells:
                self.point(self.look.cursor + right * (last - first) / cells)
        elif right and self.look.stretch.width is not None:
            pan = _PAN * (1 if right > 0 else -1)
            self._stretch(self.look.stretch.panned(pan, self.snapshot.bounds, self.snapshot.active))
        else:
            self.charts.move_focus(right + down * self.charts.across)

    def on_chart_pointed(self, message: Chart.Pointed) -> None:
        """The mouse on a chart: a click sets the crosshair, the wheel zooms around it."""
        if self.snapshot is None:
            return
        first, last = self.snapshot.x
        at = first + message.share * (last - first)
        if message.zoom == 0:
            self.point(at)
        else:
            factor = 0.5 if message.zoom > 0 else 2.0
            self._stretch(self.look.stretch.zoomed(factor, self.snapshot.bounds, self.snapshot.active, at))

    def on_chart_resized(self) -> None:
        """Data for another number of columns is needed."""
        self.ask()

    def point(self, x: float | None) -> None:
        """Put the crosshair of all charts there."""
        if x is not None and self.snapshot is not None:
            first, last = self.snapshot.x
            x = min(max(x, first), last)
        self.look = replace(self.look, cursor=x)
        self.paint_charts()

    def _stretch(self, stretch: Stretch) -> None:
        if stretch != self.look.stretch:
            self.look = replace(self.look, stretch=stretch)
            self.ask()
