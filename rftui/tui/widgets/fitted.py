"""A few lines that are painted for their width, again whenever that changes."""

from collections.abc import Callable

from textual.content import Content
from textual.widgets import Static


class Fitted(Static):
    """Shows what a painter makes of its width."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._painter: Callable[[int], Content] | None = None

    def show(self, painter: Callable[[int], Content]) -> None:
        """Show something else."""
        self._painter = painter
        self._paint()

    def on_resize(self) -> None:
        """Another width."""
        self._paint()

    def _paint(self) -> None:
        width = self.content_size.width
        if self._painter is not None and width:
            self.update(self._painter(width))
