"""One line of a log in full."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from rftui.tui.keys import bindings
from rftui.tui.screens.dialog import Dialog
from rftui.tui.screens.logs_keys import LINE_KEYS


class LogLineScreen(Dialog[None]):
    """The text, folded; `title` says where it stands."""

    CSS_PATH = "log_line.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings(LINE_KEYS)

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.line_title = title
        self.text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="line") as box:
            box.border_title = Content(self.line_title)
            box.border_subtitle = "y copies · esc closes"
            yield Static(Content(self.text), id="text")

    def action_copy(self) -> None:
        """Copy it as it is shown."""
        self.app.copy_to_clipboard(self.text)
        self.notify("copied", timeout=2)
