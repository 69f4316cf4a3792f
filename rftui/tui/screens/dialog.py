"""What all dialogs have in common."""

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """A screen over another one, which is left once.

    Keys that were typed ahead still come to it when it has gone; to leave again would close what lies below.
    """

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leave with a result, unless it has gone or another screen lies over it."""
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()
