"""The table of runs as a widget: only the lines in sight are painted, whatever the number of runs."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from rftui.tui.keys import Key, bindings
from rftui.tui.runs_table import columns
from rftui.tui.runs_table.columns import Entry, Order
from rftui.tui.runs_table.row import Row

GRID_KEYS = (
    Key("up,k", "move(-1)", "up", "one run up", shown="↑ k", footer=False),
    Key("down,j", "move(1)", "down", "one run down", shown="↓ j", footer=False),
    Key("pageup", "page(-1)", "page up", "one screen up", footer=False),
    Key("pagedown", "page(1)", "page down", "one screen down", footer=False),
    Key("home", "end(-1)", "first", "the first run", footer=False),
    Key("end", "end(1)", "last", "the last run", footer=False),
)


class RunsGrid(ScrollView, can_focus=True):
    """A line of column names, and a line per run. The cursor stays on its run when others come and go."""

    class Moved(Message):
        """The cursor stands on another run."""

    class Opened(Message):
        """The run under the cursor was clicked again."""

    class SortedBy(Message):
        """The name of a column was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    BINDINGS: ClassVar[list[BindingType]] = bindings(GRID_KEYS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--cursor", "grid--head"}

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.entries: Sequence[Entry] = ()
        self.order = Order()
        self.cursor = 0
        self._strips: dict[tuple[int, bool], tuple[object, Strip]] = {}
        """Lines painted already, and what of: by the run's place, and whether the cursor stands on it."""

    @property
    def row(self) -> Row | None:
        """The run under the cursor."""
        return self.entries[self.cursor].row if self.cursor < len(self.entries) else None

    @property
    def room(self) -> Size:
        """What there is beside the scroll bar."""
        return self.scrollable_content_region.size

    def show(self, rows: Sequence[Row], marked: Collection[str], order: Order, now: float) -> None:
        """Show other rows, or the same ones a little later."""
        if order != self.order:
            self._strips = {}
        before = self.row.name if self.row else None
        self.entries, self.order = columns.marks(rows, marked, now), order
        names = [entry.row.name for entry in self.entries]
        if before in names:
            self.cursor = names.index(before)
        self.cursor = max(0, min(self.cursor, len(names) - 1))
        self.virtual_size = Size(0, len(names) + 1)
        self._follow()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The names of the columns, then the runs in sight."""
        at = -1 if y == 0 else self.scroll_offset.y + y - 1
        if at >= len(self.entries):
            return Strip.blank(self.room.width, self.rich_style)
        chosen = at == self.cursor and self.has_focus
        shown = columns.told(self.entries[at]) if at >= 0 else None
        before = self._strips.get((at, chosen))
        if before is None or before[0] != shown:
            before = self._strips[at, chosen] = (shown, self._painted(at, chosen))
        return before[1]

    def _painted(self, at: int, chosen: bool) -> Strip:
        """The line of a run; −1: the names of the columns."""
        width = self.room.width
        shown = columns.shown(width, self.order)
        if at < 0:
            content, style = columns.heading(shown, width), self.get_visual_style("grid--head")
        else:
            content = columns.line(self.entries[at], shown, width)
            style = self.get_visual_style("grid--cursor") if chosen else self.visual_style
        strips = Visual.to_strips(self, content, width, 1, style)
        return strips[0].adjust_cell_length(width, style.rich_style) if strips else Strip.blank(width)

    def action_move(self, lines: int) -> None:
        """Move the cursor."""
        self._go(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        """Move it by the lines in sight."""
        self._go(self.cursor + pages * max(1, self.room.height - 2))

    def action_end(self, side: int) -> None:
        """Move it to the first or last run."""
        self._go(0 if side < 0 else len(self.entries) - 1)

    def on_click(self, event: events.Click) -> None:
        """A column's name sorts, a run gets the cursor, the run under the cursor opens."""
        if event.y == 0:
            shown = columns.shown(self.room.width, self.order)
            column = columns.column_at(event.x, shown, self.room.width)
            if column is not None:
                self.post_message(self.SortedBy(column))
            return
        at = self.scroll_offset.y + event.y - 1
        if at >= len(self.entries):
            return
        if at == self.cursor:
            self.post_message(self.Opened())
        else:
            self._go(at)

    def on_resize(self) -> None:
        """Lines have another width, and the cursor stays in sight."""
        self._strips = {}
        self.virtual_size = Size(0, len(self.entries) + 1)
        self._follow()

    def _go(self, at: int) -> None:
        at = max(0, min(at, len(self.entries) - 1))
        if at != self.cursor:
            before, self.cursor = self.cursor, at
            self._follow()
            for line in (before, at):
                self.refresh(Region(0, line + 1 - self.scroll_offset.y, self.size.width, 1))
            self.post_message(self.Moved())

    def _follow(self) -> None:
        """Scroll as little as brings the cursor into sight below the names of the columns."""
        top = self.scroll_offset.y
        room = max(1, self.room.height - 1)
        wanted = min(self.cursor, max(top, self.cursor - room + 1))
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True, immediate=True)

    def watch_has_focus(self, has_focus: bool) -> None:
        """The cursor is shown with the focus only."""
        self.refresh()

    def notify_style_update(self) -> None:
        """Theme or class changed: all styles may be others."""
        super().notify_style_update()
        self._strips = {}
