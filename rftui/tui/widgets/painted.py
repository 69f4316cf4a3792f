"""A widget that keeps the strips it shows, and sends to the terminal only the cells that differ."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class Painted(Widget):
    """Subclasses say in `paint` what it looks like, and call `repaint` when that may have changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._strips: list[Strip] = []
        self._painted_size = Size(0, 0)

    def paint(self, width: int, height: int) -> list[Strip]:
        """The whole picture at this size."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paint, and refresh the cells that are others than before."""
        if not self._strips or self._painted_size != self.size:
            self._strips = []
            self.refresh()
            return
        width, height = self.size
        before, self._strips = self._strips, self._fitted(self.paint(width, height))
        regions = changes(before, self._strips)
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """A row of the picture."""
        if not self._strips or self._painted_size != self.size:
            self._painted_size = self.size
            self._strips = self._fitted(self.paint(*self.size))
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def notify_style_update(self) -> None:
        """Theme, focus or class changed: all styles may be others."""
        super().notify_style_update()
        self._strips = []

    def _fitted(self, strips: list[Strip]) -> list[Strip]:
        """Exactly as many rows as there are, each as wide as the widget."""
        width, height = self.size
        strips = [compact(strip.adjust_cell_length(width, self.rich_style)) for strip in strips[:height]]
        return strips + [Strip.blank(width, self.rich_style)] * (height - len(strips))


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
    return object() if style.underline or style.reverse or style.strike else style.bgcolor


def changes(before: Sequence[Strip], after: Sequence[Strip]) -> list[Region]:
    """Per row the cells from the first to the last that differ."""
    regions = []
    for y, (old, new) in enumerate(zip(before, after, strict=False)):
        if old == new:
            continue
        cells = list(zip(_cells(old), _cells(new), strict=False))
        first = next((x for x, (one, two) in enumerate(cells) if one != two), None)
        if first is None:
            continue
        last = next(x for x in range(len(cells) - 1, -1, -1) if cells[x][0] != cells[x][1])
        regions.append(Region(first, y, last - first + 1, 1))
    return regions


def _cells(segments: Sequence[Segment] | Strip) -> list[tuple[str, Style | None]]:
    """Character and style of each cell; the second cell of a wide character is empty."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in segments:
        if text.isascii():
            cells += [(char, style) for char in text]
            continue
        for char in text:
            cells.append((char, style))
            cells += [("", style)] * (cell_len(char) - 1)
    return cells
