"""The lines of a page of logs: paints what it is given, and says where it was clicked."""

from typing import ClassVar

from rich.style import Style
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message
from textual.strip import Strip

from rftui.tui.logs.page import Page
from rftui.tui.logs.paint import HUES, Look, arranged, painted
from rftui.tui.widgets.painted import Painted

_STEP = 8
_WHEEL = 3


class LogView(Painted, can_focus=True):
    """Keeps nothing but the page in sight and how it is looked at."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"log--{name}" for name in ("text", "warning", "error", "cursor", "hit", "badge", "quiet")),
        *(f"log--{name}" for name in ("bar", "thumb")),
        *(f"log--label-{hue}" for hue in range(HUES)),
    }

    class Resized(Message):
        """Another number of lines is in sight."""

        def __init__(self, height: int) -> None:
            super().__init__()
            self.height = height

    class Wheeled(Message):
        """The wheel was turned by so many lines."""

        def __init__(self, lines: int) -> None:
            super().__init__()
            self.lines = lines

    class Picked(Message):
        """A row was clicked; `again`: the one under the cursor."""

        def __init__(self, row: int, again: bool) -> None:
            super().__init__()
            self.row, self.again = row, again

    class Dragged(Message):
        """The scroll bar was clicked at a share of its height."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.page = Page(problem="reading")
        self.look = Look()

    def show(self, page: Page) -> None:
        """Show another page, at the same column."""
        self.page = page
        self.repaint()

    def slide(self, columns: int) -> None:
        """Show columns further right, or left; folded lines have none."""
        if not self.look.wrap:
            self.look = Look(max(0, self.look.x + columns * _STEP))
            self.repaint()

    def first_column(self) -> None:
        """Show lines from their beginning."""
        self.look = Look(0, self.look.wrap)
        self.repaint()

    def toggle_wrap(self) -> None:
        """Fold long lines, or not."""
        self.look = Look(0, not self.look.wrap)
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        """The lines in sight."""
        return painted(self.page, self.look, width, height, self._style)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"log--{name}")

    def on_resize(self, event: Resize) -> None:
        """Ask for as many lines as there is room for."""
        self.post_message(self.Resized(event.size.height))

    def on_click(self, event: Click) -> None:
        """A row, or the scroll bar."""
        width, height = self.size
        if event.x == width - 1:
            self.post_message(self.Dragged(event.y / max(1, height - 1)))
            return
        pieces = arranged(self.page, self.look, width, height)
        if event.y < len(pieces):
            row = pieces[event.y].row
            again = row == self.page.cursor and not self.page.following
            self.post_message(self.Picked(row, again))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Three lines back; with shift to the left."""
        if event.shift:
            self.slide(-1)
        else:
            self.post_message(self.Wheeled(-_WHEEL))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Three lines on; with shift to the right."""
        if event.shift:
            self.slide(1)
        else:
            self.post_message(self.Wheeled(_WHEEL))
