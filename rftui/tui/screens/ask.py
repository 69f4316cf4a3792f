"""A dialog that asks for one line."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from rftui.tui.blocks import cut
from rftui.tui.screens.dialog import Dialog


class AskScreen(Dialog[str | None]):
    """Returns the line, or None. `check` says what is wrong with a line, nothing where it is fine."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(
        self, question: str, hint: str, value: str = "", check: Callable[[str], str] = lambda line: ""
    ) -> None:
        super().__init__()
        self.question = question
        self.hint = hint
        self.value = value
        self.check = check

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(self.question, id="question", markup=False)
            yield Input(self.value, id="line")
            yield Static(self.hint, id="hint", markup=False)

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """Return the line, or say what is wrong with it."""
        line = event.value.strip()
        wrong = self.check(line)
        if wrong:
            self.query_one("#hint", Static).update(f"✖ {wrong}")
            self.query_one("#hint").add_class("-wrong")
        else:
            self.dismiss(line)


def why_no_new_file(line: str) -> str:
    """Why no new file can be written there; nothing where one can. For `check`."""
    if not line:
        return "give a file"
    try:
        path = Path(line).expanduser()
        return f"{path} exists: give another name" if path.exists() else ""
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: ~ of nobody
        return f"{cut(line, 60)} cannot be a file: {getattr(error, 'strerror', None) or error}"
