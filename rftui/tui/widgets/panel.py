"""A widget that shows what a pure function makes of the latest snapshot at its own size."""

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from rftui.tui.panels import Painter
from rftui.tui.snapshot import Snapshot

_UNBOUNDED = 1000


class Panel(Widget):
    """Repaints only when the text differs from what is shown."""

    def __init__(self, painter: Painter, *, id: str) -> None:
        super().__init__(id=id)
        self.painter = painter
        self.snapshot: Snapshot | None = None
        self._shown = Content("")
        self._natural_height = 1

    def show(self, snapshot: Snapshot) -> None:
        """Show another moment."""
        self.snapshot = snapshot
        if self.is_auto_height and self._height(self.size.width) != self._natural_height:
            self.refresh(layout=True)
        elif not self._painted().is_same(self._shown):
            self.refresh()

    def render(self) -> Content:
        """The text at the present size."""
        self._shown = self._painted()
        return self._shown

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """For a height of `auto`: the lines that the text takes when it may."""
        self._natural_height = self._height(width)
        return self._natural_height

    @property
    def is_auto_height(self) -> bool:
        """Whether the style sheet leaves the height to the text."""
        return self.styles.height is not None and self.styles.height.is_auto

    def _height(self, width: int) -> int:
        if self.snapshot is None or not width:
            return 1
        return self.painter(self.snapshot, width, _UNBOUNDED).plain.count("\n") + 1

    def _painted(self) -> Content:
        if self.snapshot is None or not self.size.width:
            return Content("")
        return self.painter(self.snapshot, self.size.width, self.size.height)
