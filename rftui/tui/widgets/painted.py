"""A widget that keeps the strips it shows, and renders only the rows that are others than before."""

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from rftui.tui.sgr import SHOWS_ON_SPACE


class Painted(Widget):
    """Subclasses say in `paint` what it looks like, and call `repaint` when that may have changed."""

    ALLOW_SELECT = False
    """Textual would copy the widget's name."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._painted: list[Strip] = []
        """What `paint` said last."""
        self._strips: list[Strip] = []
        """The same in the widget's size."""
        self._painted_size = Size(0, 0)
        self._ground: Style | None = None

    def paint(self, width: int, height: int) -> list[Strip]:
        """The whole picture at this size."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint, and refresh the rows that are others than before."""
        size = self.size
        if not self._strips or self._painted_size != size:
            self._strips = []
            self.refresh()
        elif changed := self._take(self.paint(*size), size):
            self.refresh(*(Region(0, y, size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """A row of the picture."""
        if not self._strips or self._painted_size != self.size:
            self._painted_size, self._painted, self._strips = self.size, [], []
            self._take(self.paint(*self.size), self.size)
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self._air)

    def notify_style_update(self) -> None:
        """Theme, focus or class changed: all styles may be others."""
        super().notify_style_update()
        self._strips, self._ground = [], None

    def _take(self, painted: list[Strip], size: Size) -> list[int]:
        """Show this, exactly as many rows as there are, each as wide as the widget; which rows changed."""
        width, height = size
        painted = painted[:height] + [Strip([])] * (height - len(painted))
        before, self._painted = self._painted, painted
        changed = [y for y, strip in enumerate(painted) if y >= len(before) or strip != before[y]]
        self._strips += [Strip([])] * (height - len(self._strips))
        for y in changed:
            fits = painted[y].cell_length == width
            self._strips[y] = compact(painted[y] if fits else painted[y].adjust_cell_length(width, self._air))
        return changed

    @property
    def _air(self) -> Style:
        """How the rest of a row is painted."""
        if self._ground is None:
            self._ground = self.rich_style
        return self._ground


def compact(strip: Strip) -> Strip:
    """In as few pieces as look the same: spaces join the piece before them if only their ink differs."""
    pieces: list[Segment] = []
    for text, style, control in strip:
        if pieces and control is None:
            before = pieces[-1].style
            if style == before or (text.isspace() and _plain_on(style) == _plain_on(before)):
                pieces[-1] = Segment(pieces[-1].text + text, before)
                continue
        pieces.append(Segment(text, style, control))
    return Strip(pieces, strip.cell_length)


def _plain_on(style: Style | None) -> object:
    """The ground of a style that shows nothing on a space; a style that does is equal to no other."""
    if style is None:
        return None
    return object() if any(getattr(style, name) for name in SHOWS_ON_SPACE.values()) else style.bgcolor
