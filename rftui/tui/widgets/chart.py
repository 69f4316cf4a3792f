"""One metric over a run. Painting is `rftui.tui.charts`; here it meets size, theme and the terminal."""

from math import isfinite
from typing import ClassVar, get_args

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from rftui.tui import charts
from rftui.tui.catalog import Metric
from rftui.tui.chart_box import GUTTER
from rftui.tui.plot import HUE_NAMES, Plot, Role, Row
from rftui.tui.widgets.painted import Painted

_HUED: tuple[Role, ...] = ("line", "point", "value", "raw")
_PALE = 0.4


class Chart(Painted, can_focus=True):
    """Shows a `Plot`."""

    class Resized(Message):
        """The chart has room for another number of columns."""

    class Pointed(Message):
        """The mouse points at a share of the x axis; `zoom` is the turn of its wheel, −1, 0 or 1."""

        def __init__(self, share: float, zoom: int) -> None:
            super().__init__()
            self.share = share
            self.zoom = zoom

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{role}" for role in get_args(Role) if role not in (*_HUED, *HUE_NAMES)
    }

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.metric: Metric | None = None
        self.plot = Plot("")
        self._styles_of: dict[Role, Style] = {}
        self._rows: list[tuple[Row, Strip]] = []

    def assign(self, metric: Metric) -> None:
        """Make this the chart of another metric."""
        if metric == self.metric:
            return
        self.metric = metric
        self._styles_of, self._rows = {}, []
        self.show(Plot(metric.title, note=""))

    def show(self, plot: Plot) -> None:
        """Paint another plot, if it is another."""
        if plot != self.plot:
            self.plot = plot
            self.repaint()

    @property
    def columns(self) -> int:
        """How many columns of data fit."""
        return charts.dot_columns(self.size.width)

    @property
    def text(self) -> str:
        """The last value of each column, by step, for a spreadsheet."""
        points = zip(self.plot.steps, self.plot.buckets, strict=False)
        lines = [f"{step}\t{bucket.last:.7g}" for step, bucket in points if isfinite(bucket.last)]
        return "\n".join([f"step\t{self.plot.title}", *lines])

    def paint(self, width: int, height: int) -> list[Strip]:
        """All rows of the chart; those that are as before are the strips of before."""
        before, rows = dict(enumerate(self._rows)), charts.paint(self.plot, width, height)
        self._rows = [
            before[y] if y in before and before[y][0] == row else (row, self._strip_of(row, width))
            for y, row in enumerate(rows)
        ]
        return [strip for _, strip in self._rows]

    def _strip_of(self, row: Row, width: int) -> Strip:
        return Strip([Segment(span.text, self.style_of(span.role)) for span in row], width)

    def notify_style_update(self) -> None:
        """Theme, focus or class changed: all styles may be others."""
        super().notify_style_update()
        self._styles_of, self._rows = {}, []

    def on_resize(self) -> None:
        """The size changed: ask for as many columns of data as there are now."""
        self.post_message(self.Resized())

    def on_click(self, event: Click) -> None:
        """Point the crosshair there."""
        self._point(event.x, 0)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Closer."""
        event.stop()
        self._point(event.x, 1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Further away."""
        event.stop()
        self._point(event.x, -1)

    def _point(self, x: int, zoom: int) -> None:
        cells = self.columns // 2
        if cells:
            self.post_message(self.Pointed(min(1.0, max(0.0, (x - GUTTER - 0.5) / cells)), zoom))

    def style_of(self, role: Role) -> Style:
        """How a role is painted in the present theme."""
        style = self._styles_of.get(role)
        if style is None:
            own = role in _HUED or role in HUE_NAMES
            style = self._hued(role) if own else self.get_component_rich_style(f"chart--{role}")
            self._styles_of[role] = style
        return style

    def _hued(self, role: Role) -> Style:
        """In a colour of the theme, by default that of the metric; the raw curve is paler."""
        ground = self.background_colors[1]
        name = role if role in HUE_NAMES else f"hue-{self.metric.hue if self.metric else 1}"
        hue = Color.parse(self.app.theme_variables[name])
        colour = ground.blend(hue, _PALE) if role == "raw" else hue
        return Style(color=colour.rich_color, bgcolor=ground.rich_color, bold=role == "value")
