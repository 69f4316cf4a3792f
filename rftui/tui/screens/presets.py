"""Which preset, or which file, to plan."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static

from rftui.tui import home
from rftui.tui.home import PresetRow
from rftui.tui.screens.dialog import Dialog
from rftui.tui.widgets.option_rows import show_rows
from rftui.tui.widgets.options import Options


class PresetsScreen(Dialog[str | None]):
    """Returns the name of a preset or the path of a file, or None."""

    class Found(Message):
        """The presets there are."""

        def __init__(self, presets: list[PresetRow]) -> None:
            super().__init__()
            self.presets = presets

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "cancel"),
        Binding("slash", "type", "type words", priority=True),
    ]

    def __init__(self, without: str) -> None:
        """`without`: what happens when none is chosen."""
        super().__init__()
        self.without = without
        self.presets: list[PresetRow] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static("Plan which preset?", id="question")
            yield Options(id="presets")
            yield Input(placeholder="/ words that it has, or a YAML file", id="file")
            yield Static(f"esc: {self.without}", id="hint")

    def on_mount(self) -> None:
        """Look for them."""
        self.query_one(Options).focus()
        self.find()

    @work(thread=True, exit_on_error=False)
    def find(self) -> None:
        """Read the presets in a thread."""
        self.post_message(self.Found(home.presets_known()))

    def on_presets_screen_found(self, message: "PresetsScreen.Found") -> None:
        """Show them."""
        self.presets = message.presets
        self.call_after_refresh(self.narrow)

    @on(Input.Changed)
    def narrow(self) -> None:
        """Only presets that have the words; all of them where the words name a file."""
        options = self.query_one(Options)
        show_rows(options, *home.preset_lines(self._found() or self.presets, max(30, options.size.width - 2)))

    def _found(self) -> list[PresetRow]:
        return home.presets_with(self.presets, self.query_one(Input).value)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the field a slash is text."""
        return action != "type" or not isinstance(self.focused, Input)

    def action_type(self) -> None:
        """Ask for words; what is typed behind the slash is text already."""
        self.set_focus(self.query_one(Input))

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """One of the presets."""
        self.dismiss(event.option_id)

    @on(Input.Submitted)
    def submit(self, event: Input.Submitted) -> None:
        """The first preset that has the words, else a file."""
        written, found = event.value.strip(), self._found()
        chosen = self.query_one(Options).highlighted_option
        if written:
            self.dismiss(chosen.id if found and chosen is not None else written)
