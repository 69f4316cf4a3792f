"""One metric over steps. Painting is `rftui.tui.charts`; here it meets size, theme and the terminal."""

from typing import ClassVar, get_args

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rftui.tui import charts
from rftui.tui.catalog import Metric
from rftui.tui.charts import Plot
from rftui.tui.themes import HUES


class Chart(Widget, can_focus=True):
    """Shows a `Plot`. Only rows that changed are sent to the terminal."""

    class Resized(Message):
        """The chart has room for another number of columns."""

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in get_args(charts.Role)}

    def __init__(self) -> None:
        super().__init__()
        self.metric: Metric | None = None
        self.plot = Plot("")
        self._rows: list[charts.Row] = []
        self._strips: list[Strip] = []
        self._painted_size = Size(0, 0)

    def assign(self, metric: Metric) -> None:
        """Make this the chart of another metric."""
        if metric == self.metric:
            return
        self.metric = metric
        for hue in range(1, HUES + 1):
            self.set_class(hue == metric.hue, f"-hue-{hue}")
        self.show(Plot(metric.title, note=""))

    def show(self, plot: Plot) -> None:
        """Paint another plot, if it is another."""
        if plot != self.plot:
            self.plot = plot
            self._repaint()

    @property
    def columns(self) -> int:
        """How many columns of data fit."""
        return charts.dot_columns(self.size.width)

    def render_line(self, y: int) -> Strip:
        """A row of the chart."""
        if not self._strips or self._painted_size != self.size:
            self._painted_size = self.size
            self._rows = charts.paint(self.plot, *self.size)
            self._strips = [self._strip(row) for row in self._rows]
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def notify_style_update(self) -> None:
        """Theme, focus or class changed: all styles may be others."""
        super().notify_style_update()
        self._strips = []

    def on_resize(self) -> None:
        """The size changed: ask for as many columns of data as there are now."""
        self.post_message(self.Resized())

    def _repaint(self) -> None:
        width, height = self.size
        if not self._strips or self._painted_size != self.size:
            self._strips = []
            self.refresh()
            return
        rows = charts.paint(self.plot, width, height)
        changed = [y for y, row in enumerate(rows) if row != self._rows[y]]
        self._rows = rows
        for y in changed:
            self._strips[y] = self._strip(rows[y])
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _strip(self, row: charts.Row) -> Strip:
        return Strip([Segment(span.text, self._style(span.role)) for span in row], self.size.width)

    def _style(self, role: charts.Role) -> Style:
        return self.get_component_rich_style(f"chart--{role}")
