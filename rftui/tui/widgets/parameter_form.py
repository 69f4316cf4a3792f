"""The list of parameters: one strip per visible row, whatever their number; an editor opens in the row."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from rftui.tui.keys import Key, bindings
from rftui.tui.planning.form import parts, value_column
from rftui.tui.planning.rows import Field, Problem, Row

FORM_KEYS = (
    Key("up", "move(-1)", "up", "form: previous parameter", footer=False),
    Key("down", "move(1)", "down", "form: next parameter", footer=False),
    Key("pageup", "move_page(-1)", "page up", "form: one page back", footer=False),
    Key("pagedown", "move_page(1)", "page down", "form: one page on", footer=False),
    Key("home", "move_to(0)", "first", "form: first parameter", footer=False),
    Key("end", "move_to(-1)", "last", "form: last parameter", footer=False),
)


class Form(ScrollView, can_focus=True):
    """Shows rows, with a cursor on one of their fields."""

    class Moved(Message):
        """The cursor is on another field."""

    class Chosen(Message):
        """The field under the cursor was clicked again."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(FORM_KEYS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"form--{kind}"
        for kind in ("section", "quiet", "error", "warning", "default", "preset", "planner", "user", "cursor")
    }

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: Sequence[Row] = ()
        self.cursor = ""
        """`section.key` of the field with the cursor."""

    @property
    def fields(self) -> list[Field]:
        """The fields that are shown."""
        return [row for row in self.rows if isinstance(row, Field)]

    @property
    def field(self) -> Field | None:
        """The field with the cursor."""
        return next((field for field in self.fields if field.key == self.cursor), None)

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows; the cursor stays on its field where that is still there."""
        self.rows = rows
        fields = self.fields
        if self.field is None:
            self.cursor = fields[0].key if fields else ""
        self.virtual_size = Size(0, len(rows))
        self.refresh()

    def go_to(self, key: str) -> None:
        """Put the cursor on a field that is shown, in sight."""
        self.cursor = key
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        """Scroll to the cursor, with the problem under it."""
        at = self.row_of(self.cursor)
        if at is not None:
            below = at + 1 < len(self.rows) and isinstance(self.rows[at + 1], Problem)
            above = at == 1  # the first heading comes into sight with its first field
            region = Region(0, at - above, max(1, self.size.width), 1 + above + below)
            self.scroll_to_region(region, animate=False, force=True)

    def row_of(self, key: str) -> int | None:
        """The row of a field."""
        found = (i for i, row in enumerate(self.rows) if isinstance(row, Field) and row.key == key)
        return next(found, None)

    def place_of_value(self) -> tuple[int, int, int] | None:
        """Column and row, within this widget, of the value with the cursor, and the cells from there on."""
        at = self.row_of(self.cursor)
        if at is None:
            return None
        width = self.scrollable_content_region.width
        start, _ = value_column(width)
        return start, at - self.scroll_offset.y, width - start

    def action_move(self, fields: int) -> None:
        """Some fields on, or back."""
        keys = [field.key for field in self.fields]
        if keys:
            at = keys.index(self.cursor) if self.cursor in keys else 0
            self.go_to(keys[max(0, min(at + fields, len(keys) - 1))])

    def action_move_page(self, pages: int) -> None:
        """A page on, or back."""
        self.action_move(pages * max(1, self.size.height - 2))

    def action_move_to(self, position: int) -> None:
        """The first or the last field."""
        if self.fields:
            self.go_to(self.fields[position].key)

    def move_section(self, sections: int) -> None:
        """To the first field of the next section, or of the previous one."""
        fields = self.fields
        firsts = [
            field.key
            for before, field in zip([None, *fields], fields, strict=False)
            if before is None or before.parameter.section != field.parameter.section
        ]
        section = self.cursor.partition(".")[0]
        names = [key.partition(".")[0] for key in firsts]
        if section in names:
            self.go_to(firsts[(names.index(section) + sections) % len(firsts)])

    def on_click(self, event: Click) -> None:
        """The cursor goes where the mouse is; a click on the field with the cursor opens it."""
        at = event.y + self.scroll_offset.y
        row = self.rows[at] if 0 <= at < len(self.rows) else None
        if isinstance(row, Field):
            if row.key == self.cursor:
                self.post_message(self.Chosen())
            else:
                self.go_to(row.key)

    def on_resize(self) -> None:
        """Fewer rows are in sight: the cursor stays."""
        self.virtual_size = Size(0, len(self.rows))
        self._keep_in_sight()

    def render_line(self, y: int) -> Strip:
        """The row at `y`."""
        width = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if at >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        row = self.rows[at]
        here = isinstance(row, Field) and row.key == self.cursor
        above = self.get_component_rich_style("form--cursor", partial=True) if here else Style()
        segments = [
            Segment(part.text, self.get_component_rich_style(f"form--{part.kind}") + above)
            for part in parts(row, width)
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style + above)
