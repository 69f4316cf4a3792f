"""A pane of text that is painted for its width, and scrolls."""

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

Painter = Callable[[int], Content]


class TextPane(VerticalScroll, can_focus=True):
    """Shows what a painter makes of its width; repaints when that changes."""

    def __init__(self, *, id: str, title: str) -> None:
        super().__init__(id=id)
        self.border_title = title
        self._painter: Painter | None = None
        self._shown = Content("")

    def compose(self) -> ComposeResult:
        yield Static(classes="text")

    def show(self, painter: Painter) -> None:
        """Show something else."""
        self._painter = painter
        self._paint()

    def on_resize(self) -> None:
        """Another width."""
        self._paint()

    def _paint(self) -> None:
        width = self.scrollable_content_region.width
        if self._painter is None or not width:
            return
        content = self._painter(width)
        if not content.is_same(self._shown):
            self._shown = content
            self.query_one(".text", Static).update(content)
