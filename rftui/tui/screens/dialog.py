"""What all dialogs have in common."""

from typing import ClassVar, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.screen import ModalScreen

from rftui.tui.keys import Key, bindings

T = TypeVar("T")

EVERYWHERE = (
    Key("question_mark", "app.help", "help", "show these keys", shown="?"),
    Key("colon,ctrl+p", "app.command_palette", "palette", "find a command by name", shown=":"),
)


class Dialog(ModalScreen[T]):
    """A screen over another one, which is left once.

    Of the keys that are the same everywhere those for help and for the palette work in it.

    Keys that were typed ahead still come to it when it has gone; to leave again would close what lies below.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings(EVERYWHERE)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave with a result, unless it has gone or another screen lies over it."""
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()
