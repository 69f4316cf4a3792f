"""A row of words to choose from, each of which can be clicked."""

from collections.abc import Sequence

from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from rftui.tui.logs.words import Chip


class Chips(Static):
    """Runs the screen's action of the chip that is clicked."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.chips: Sequence[Chip] = ()

    def show(self, chips: Sequence[Chip]) -> None:
        """Show these chips."""
        if list(chips) != list(self.chips):
            self.chips = chips
            words = (Content.styled(chip.text, chip.style) for chip in chips)
            self.update(Content.assemble(" ", Content("  ").join(words)))

    async def on_click(self, event: Click) -> None:
        """The action of the chip there."""
        left = 1
        for chip in self.chips:
            length = Content(chip.text).cell_length
            if left <= event.x < left + length and chip.action:
                await self.screen.run_action(chip.action)
                return
            left += length + 2
