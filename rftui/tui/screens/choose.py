"""A dialog that offers a few ways to go on."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rftui.tui.screens.dialog import Dialog
from rftui.tui.text import clean_line
from rftui.tui.widgets.options import Options


class ChooseScreen(Dialog[int | None]):
    """Returns the place of the chosen line, or None."""

    CSS_PATH = "choose.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, question: str, lines: Sequence[str], hint: str = "enter chooses, esc cancels") -> None:
        super().__init__()
        self.question, self.lines, self.hint = question, lines, hint

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(self.question, id="question", markup=False)
            yield Options(*(Option(Content(clean_line(line))) for line in self.lines), id="choices")
            yield Static(self.hint, id="hint", markup=False)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Return the choice."""
        self.dismiss(event.option_index)
