"""A dialog that says what would be done, and asks whether to do it."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rftui.tui.screens.dialog import Dialog
from rftui.tui.widgets.options import Options


class ConfirmScreen(Dialog[bool]):
    """Returns whether it was agreed to. `do` is the answer that agrees; the cursor is on the other one."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(False)", "cancel")]

    def __init__(
        self, question: str, lines: Sequence[str], do: str, leave: str = "Leave it as it is"
    ) -> None:
        super().__init__()
        self.question, self.lines, self.do, self.leave = question, lines, do, leave

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(self.question, id="question", markup=False)
            yield Static("\n".join(self.lines), id="lines", markup=False)
            yield Options(
                Option(self.leave, id="leave"), Option(self.do, id="do"), id="choices", markup=False
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the answer."""
        self.dismiss(event.option_id == "do")
