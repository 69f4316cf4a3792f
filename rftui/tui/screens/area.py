"""What the screens of all areas have in common."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen

from rftui.tui.context import Context
from rftui.tui.keys import Key

if TYPE_CHECKING:
    from rftui.tui.app import RftuiApp


WIDTHS = [(0, "-xs"), (100, "-sm"), (120, "-md"), (200, "-lg")]
HEIGHTS = [(0, "-short"), (30, "-tall"), (56, "-huge")]
"""Classes that a screen has from this many columns and rows on."""


class AreaScreen(Screen[None]):
    """A screen that is told its context, has its keys as data, and knows how wide and high it is."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context

    @property
    def rft(self) -> "RftuiApp":
        """The program, which opens areas, runs and plans."""
        return cast("RftuiApp", self.app)
