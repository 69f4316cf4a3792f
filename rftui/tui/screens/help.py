"""The keys of a screen, from the same tables that bind them."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from rftui.tui.keys import Key
from rftui.tui.screens.dialog import Dialog


class HelpScreen(Dialog[None]):
    """A list of keys and what they do."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "dismiss", "close", key_display="esc")
    ]

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__()
        self.keys = keys

    def compose(self) -> ComposeResult:
        lines = [Content.assemble((f"{key.name:>10}  ", "bold $primary"), key.help) for key in self.keys]
        with VerticalScroll(id="keys") as box:
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            yield Static(Content("\n").join(lines))
