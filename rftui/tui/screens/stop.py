"""How to stop a run: after the present step, or at once."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from rftui.tui.screens.dialog import Dialog
from rftui.tui.widgets.options import Options

CONFIRMATION = "kill"


class StopDialog(Dialog[str | None]):
    """Returns `stop`, `kill` or None. Killing has to be confirmed by a typed word."""

    CSS_PATH = "stop.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run_name = run

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(f"Stop {self.run_name}?", id="question", markup=False)
            yield Options(
                Option("Stop after this step: it is finished and saved, then the run ends", id="stop"),
                Option("Kill now: what came after the last checkpoint is lost", id="kill"),
                Option("Keep running", id="keep"),
                id="choices",
            )
            yield Input(placeholder=f"type {CONFIRMATION} and press enter; esc to cancel", id="confirm")

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Return the choice, or ask for the word."""
        if event.option_id == "stop":
            self.dismiss("stop")
        elif event.option_id == "kill":
            self.add_class("-confirm")
            self.query_one(Input).focus()
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def confirm(self, event: Input.Submitted) -> None:
        """Kill, if the word was typed."""
        if event.value.strip() == CONFIRMATION:
            self.dismiss("kill")
        else:
            self.notify(f"not killed: {CONFIRMATION!r} was not typed", severity="warning")
            self.dismiss(None)
