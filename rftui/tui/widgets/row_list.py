"""A list with a cursor that paints only the rows in sight, however many there are."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from rftui.tui.keys import Key, bindings

RowPainter = Callable[[int, int], Content]
"""The line of a row, given its number and the width."""

ROW_KEYS = (
    Key("up", "move(-1)", "up", "list: previous row", footer=False),
    Key("down", "move(1)", "down", "list: next row", footer=False),
    Key("pageup", "move_page(-1)", "page up", "list: one page back", footer=False),
    Key("pagedown", "move_page(1)", "page down", "list: one page on", footer=False),
    Key("home", "move_to(0)", "first", "list: first row", footer=False),
    Key("end", "move_to(-1)", "last", "list: last row", footer=False),
)


class RowList(ScrollView, can_focus=True):
    """Shows `count` rows as a painter paints them."""

    class Moved(Message):
        """The user put the cursor on another row."""

        def __init__(self, rows: "RowList") -> None:
            super().__init__()
            self.rows = rows

        @property
        def control(self) -> "RowList":
            """The list."""
            return self.rows

    class Scrolled(Message):
        """Other rows are in sight."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(ROW_KEYS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-list--cursor"}

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.count = 0
        self.cursor = 0
        self._painter: RowPainter | None = None

    def show(self, count: int, painter: RowPainter, cursor: int) -> None:
        """Show other rows, or others of the same number."""
        self.count, self._painter = count, painter
        self.cursor = max(0, min(cursor, count - 1))
        self.virtual_size = Size(0, count)
        self._into_sight()
        self.refresh()

    @property
    def in_sight(self) -> range:
        """The rows that can be seen."""
        first = self.scroll_offset.y
        return range(first, min(self.count, first + self.size.height))

    def move_to(self, at: int, rows: int = 1) -> None:
        """Put the cursor on a row, as the user does, with so many rows from there on in sight."""
        at = max(0, min(at, self.count - 1))
        if self.count and at != self.cursor:
            self.cursor = at
            self.post_message(self.Moved(self))
        self._into_sight(rows)
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Some rows on, or back."""
        self.move_to(self.cursor + rows)

    def action_move_page(self, pages: int) -> None:
        """A page on, or back."""
        self.move_to(self.cursor + pages * max(1, self.size.height - 1))

    def action_move_to(self, at: int) -> None:
        """The first or the last row."""
        self.move_to(at if at >= 0 else self.count + at)

    def on_click(self, event: Click) -> None:
        """The row under the mouse."""
        at = event.y + self.scroll_offset.y
        if at < self.count:
            self.move_to(at)

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self._into_sight()
        self.post_message(self.Scrolled())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Say that other rows are in sight."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled())

    def render_line(self, y: int) -> Strip:
        """The row at `y`."""
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if at >= self.count or self._painter is None or not width:
            return Strip.blank(width, self.rich_style)
        style = self.visual_style
        if at == self.cursor:
            style += self.get_visual_style("row-list--cursor", partial=True)
        line = Visual.to_strips(self, self._painter(at, width), width, 1, style)[0]
        return line.adjust_cell_length(width, style.rich_style)

    def _into_sight(self, rows: int = 1) -> None:
        rows = max(1, min(rows, self.count - self.cursor, self.size.height))
        region = Region(0, self.cursor, max(1, self.size.width), rows)
        self.scroll_to_region(region, animate=False, force=True)
