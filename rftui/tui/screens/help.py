"""The keys of a screen, from the same tables that bind them."""

from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from rftui.tui.keys import Key
from rftui.tui.screens.dialog import Dialog

_NAME = 10
"""Cells for the name of a key."""


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
        with VerticalScroll(id="keys") as box:
            box.border_title = "keys"
            box.border_subtitle = "esc closes"
            yield KeyLines(self.keys)


class KeyLines(Widget):
    """A key and what it does; what is too long for its line goes on below its words."""

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__()
        self.keys = keys

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Lines at that width."""
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.content_size.width))

    def _lines(self, width: int) -> list[Content]:
        lines = []
        for key in self.keys:
            name = f"{key.name:>{_NAME}}  "
            first, *more = wrap(key.help, max(20, width - len(name)), break_on_hyphens=False) or [""]
            lines.append(Content.assemble((name, "bold $primary"), first))
            lines += [Content(" " * len(name) + line) for line in more]
        return lines
