"""The one-line editor of a value: `esc` gives it up, up and down go through the values there are."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class Editor(Input):
    """An input that stands in the row of its value."""

    class Left(Message):
        """The value is to stay as it was."""

    class Closed(Message):
        """It is done, and gone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "as it was", show=False),
        Binding("up", "cycle(-1)", "previous value", show=False),
        Binding("down", "cycle(1)", "next value", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, compact=True, select_on_focus=True)
        self.options: Sequence[str] = ()

    def open(self, text: str, options: Sequence[str], place: tuple[int, int, int]) -> None:
        """Stand at a column and row, that many cells wide, with a text. What is typed now is text already."""
        column, row, cells = place
        self.options = options
        self.styles.offset = (column, row)
        self.styles.width = cells
        with self.prevent(Input.Changed):
            self.value = text
        self.display = True
        self.screen.set_focus(self)

    def on_blur(self) -> None:
        """Go away when the focus does."""
        self.display = False
        self.post_message(self.Closed())

    def action_leave(self) -> None:
        """Give the edit up."""
        self.post_message(self.Left())

    def action_cycle(self, by: int) -> None:
        """The next of the values there are."""
        if self.options:
            at = self.options.index(self.value) if self.value in self.options else -1
            self.value = self.options[(at + by) % len(self.options)]
            self.cursor_position = len(self.value)
