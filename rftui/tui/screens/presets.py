"""Which preset, or which file, to plan."""

from typing import ClassVar, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from rftui.tui.screens.dialog import Dialog
from rftui.tui.text import clean_line
from rftui.tui.widgets.options import Options


class Offered(NamedTuple):
    """A preset: its name, whose it is, and what it says of itself."""

    name: str
    origin: str
    title: str


class PresetsScreen(Dialog[str | None]):
    """Returns the name of a preset or the path of a file, or None."""

    class Found(Message):
        """The presets there are."""

        def __init__(self, presets: list[Offered]) -> None:
            super().__init__()
            self.presets = presets

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, without: str) -> None:
        """`without`: what happens when none is chosen."""
        super().__init__()
        self.without = without

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static("Plan which preset?", id="question")
            yield Options(id="presets")
            yield Input(placeholder="or a YAML file", id="file")
            yield Static(f"esc: {self.without}", id="hint")

    def on_mount(self) -> None:
        """Look for them."""
        self.find()

    @work(thread=True, exit_on_error=False)
    def find(self) -> None:
        """Read the presets in a thread."""
        from engine.findings import FindingsError
        from presets import loader

        found = []
        for name in loader.names():
            try:
                preset = loader.load(name)
                found.append(Offered(name, preset.origin, clean_line(preset.title)))
            except FindingsError as error:
                found.append(Offered(name, "not usable", clean_line(error.findings[0].cause)))
        self.post_message(self.Found(found))

    def on_presets_screen_found(self, message: "PresetsScreen.Found") -> None:
        """Show them."""
        names = max((len(preset.name) for preset in message.presets), default=0)
        rows = [
            Option(
                Content.assemble(
                    (f"{each.name:<{names}}  ", "bold"), (f"{each.origin:<10} ", "$quiet"), each.title
                ),
                id=each.name,
            )
            for each in message.presets
        ]
        options = self.query_one(OptionList)
        options.set_options(rows)
        options.highlighted = 0 if rows else None
        options.focus()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """One of the presets."""
        self.dismiss(event.option_id)

    @on(Input.Submitted)
    def name_file(self, event: Input.Submitted) -> None:
        """A file."""
        if event.value.strip():
            self.dismiss(event.value.strip())
