"""Charts in pages; how many stand side by side is the style sheet's business."""

from collections.abc import Sequence
from dataclasses import replace

from textual.containers import Container

from rftui.tui.catalog import PLANNED, Metric
from rftui.tui.look import Look, plot_of
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.chart import Chart

MOST = 12
"""The most charts of any layout in the style sheets."""


class ChartGrid(Container):
    """Shows one page of the metrics; `slots` follows the grid size of the style sheet."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.metrics: tuple[Metric, ...] = PLANNED
        self.page = 0
        self._slots = 0

    def on_mount(self) -> None:
        """Fill the first page."""
        self._fill()

    def notify_style_update(self) -> None:
        """A breakpoint may have changed the grid."""
        super().notify_style_update()
        if self.is_mounted and self.slots != self._slots:
            self.call_later(self._fill)

    @property
    def slots(self) -> int:
        """Charts on a page."""
        return min(MOST, self.across * max(1, self.styles.grid_size_rows))

    @property
    def pages(self) -> int:
        """Number of pages, at least one."""
        return max(1, -(-len(self.metrics) // self.slots))

    @property
    def charts(self) -> list[Chart]:
        """The charts of this page, in order."""
        return [chart for chart in self.query(Chart) if chart.display]

    def offer(self, metrics: Sequence[Metric]) -> None:
        """Say which metrics there are."""
        if tuple(metrics) != self.metrics:
            self.metrics = tuple(metrics)
            self._fill()

    def show(self, snapshot: Snapshot, look: Look) -> None:
        """Show a moment of the run."""
        self.offer(snapshot.metrics)
        for place, chart in enumerate(self.charts):
            if chart.metric is not None:
                page = f"{self.page + 1}/{self.pages}" if place == 0 and self.pages > 1 else ""
                chart.show(replace(plot_of(chart.metric, snapshot, look), corner=page))

    @property
    def across(self) -> int:
        """Charts side by side."""
        return max(1, self.styles.grid_size_columns)

    def move_focus(self, places: int) -> None:
        """Focus the chart that many places on; the first one when none has the focus."""
        shown = self.charts
        at = next((place for place, chart in enumerate(shown) if chart.has_focus), None)
        to = 0 if at is None else at + places
        if 0 <= to < len(shown):
            shown[to].focus()

    def turn(self, pages: int) -> None:
        """Go some pages on or back, around the ends."""
        self.page = (self.page + pages) % self.pages
        self._fill()

    def _fill(self) -> None:
        """Give this page's metrics to charts and hide the rest."""
        self._slots = self.slots
        self.page = min(self.page, self.pages - 1)
        shown = self.metrics[self.page * self._slots : (self.page + 1) * self._slots]
        there = list(self.query(Chart))
        new = [Chart() for _ in range(len(shown) - len(there))]
        if new:
            self.mount_all(new)
        for number, chart in enumerate([*there, *new]):
            chart.display = number < len(shown)
            if number < len(shown):
                chart.assign(shown[number])
