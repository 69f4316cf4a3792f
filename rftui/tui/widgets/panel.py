"""A widget that shows what a pure function makes of the latest snapshot at its own size."""

from textual.content import Content
from textual.widget import Widget

from rftui.tui.panels import Painter
from rftui.tui.snapshot import Snapshot


class Panel(Widget):
    """Repaints only when the text differs from what is shown."""

    def __init__(self, painter: Painter, *, id: str) -> None:
        super().__init__(id=id)
        self.painter = painter
        self.snapshot: Snapshot | None = None
        self._shown = Content("")

    def show(self, snapshot: Snapshot) -> None:
        """Show another moment."""
        self.snapshot = snapshot
        if not self._painted().is_same(self._shown):
            self.refresh()

    def render(self) -> Content:
        """The text at the present size."""
        self._shown = self._painted()
        return self._shown

    def _painted(self) -> Content:
        if self.snapshot is None or not self.size.width:
            return Content("")
        return self.painter(self.snapshot, self.size.width, self.size.height)
