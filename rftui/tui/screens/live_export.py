"""Writing the points, a chart and the numbers of the run that the live screen shows; all up to now."""

from collections.abc import Sequence
from pathlib import Path

from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.baseline import BaselineReader
from rftui.tui.look import Look
from rftui.tui.screens.export_actions import ExportActions
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.chart_grid import ChartGrid


class LiveExport(ExportActions):
    """With those of the run behind the charts, if there is one."""

    look: Look
    baseline: BaselineReader | None

    def action_export(self) -> None:
        """The chart is the focused one, or the first."""
        charts = self.query_one("#charts", ChartGrid).charts
        chart = self.focused if isinstance(self.focused, Chart) else charts[0]
        metric = chart.metric.name if chart.metric else ""
        look = self.look
        shown, clock = self.context.the_run, self.context.clock
        runs = [shown, *([self.baseline.run] if self.baseline else [])]

        def view(run: RunDir) -> RunView:
            from rftui.runs.replay import ReplayView

            return ReplayView(run, clock.stopped()) if clock and run.path == shown.path else RunView(run)

        def write(paths: Sequence[Path]) -> None:
            from rftui.tui.runs_table import exporting
            from rftui.tui.runs_table.comparison import Asked, Comparer

            comparer = Comparer(runs, view)
            while comparer.advance(1.0):
                pass
            exporting.write(paths, comparer, Asked(metric, look.stretch.axis), look.smoothing)

        names = "-and-".join(run.name for run in runs)
        self.export("points, chart and numbers", names[:80], write)
