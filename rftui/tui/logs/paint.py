"""From a page to what stands in each row of the screen: pure, whatever the terminal."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.cells import chop_cells
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rftui.tui.logs.page import Page, Row

Styles = Callable[[str], Style]
"""Of a name: label-0 … label-5, text, warning, error, cursor, hit, badge, quiet, bar, thumb."""

GLYPHS = {"error": "✖", "warning": "▲", "info": " "}
LABEL = 6
HUES = 6


@dataclass(frozen=True, slots=True)
class Look:
    """How lines are looked at: from column `x` on, or folded into as many rows as they need."""

    x: int = 0
    wrap: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """What stands in one row of the screen: a line, or a piece of one that is folded, from `at` on."""

    row: int
    text: str
    at: int = 0


def arranged(page: Page, look: Look, width: int, height: int) -> list[Piece]:
    """The rows of the screen from above; the cursor's line is among them, of a page that follows the last."""
    room = max(1, width - margin(page) - 1)
    pieces: list[Piece] = []
    for number, row in enumerate(page.rows):
        text = badge(row) + row.text
        at = 0
        for part in (chop_cells(text, room) or [""]) if look.wrap else [text]:
            pieces.append(Piece(number, part, at))
            at += len(part)
    if len(pieces) <= height:
        return pieces
    if page.following:
        return pieces[-height:]
    last = max((at for at, piece in enumerate(pieces) if piece.row == page.cursor), default=0)
    first = max(0, last - height + 1)
    return pieces[first : first + height]


def painted(page: Page, look: Look, width: int, height: int, styles: Styles) -> list[Strip]:
    """A strip per row, with the scroll bar at its right."""
    if not page.rows:
        text = Strip([Segment(f" {page.problem}", styles("quiet"))])
        return [text.adjust_cell_length(width, styles("text"))]
    strips = []
    for piece in arranged(page, look, width, height):
        row = page.rows[piece.row]
        chosen = piece.row == page.cursor and not page.following
        strips.append(_strip(page, row, piece, look, width, styles, chosen))
    return [Strip([*strip, bar]) for strip, bar in zip(strips, _bar(page, height, styles), strict=False)]


def margin(page: Page) -> int:
    """Columns before the text: who wrote it, and how bad it is."""
    return (_label_width(page) + 1 if _label_width(page) else 0) + 2


def badge(row: Row) -> str:
    """`×8 ▸ r0-r7 `: of a line that ends a traceback of several writers."""
    if not row.same:
        return ""
    return f"×{len(row.same)} {'▸' if row.folded else '▾'} {ranges(row.same)} "


def ranges(writers: tuple[str, ...]) -> str:
    """`r0-r7`, `r0, r2, launcher`: neighbours together."""
    ranks = sorted({int(w[1:]) for w in writers if w[:1] == "r" and w[1:].isdecimal()})
    parts: list[str] = []
    start = 0
    for at, rank in enumerate(ranks):
        if at + 1 == len(ranks) or ranks[at + 1] != rank + 1:
            parts.append(f"r{ranks[start]}" if at == start else f"r{ranks[start]}-r{rank}")
            start = at + 1
    return ", ".join([*parts, *(w for w in writers if not (w[:1] == "r" and w[1:].isdecimal()))])


def _label_width(page: Page) -> int:
    if page.writer is not None or len(page.writers) < 2:
        return 0
    return min(LABEL, max(len(writer) for writer in page.writers))


def _strip(page: Page, row: Row, piece: Piece, look: Look, width: int, styles: Styles, chosen: bool) -> Strip:
    under = styles("cursor") if chosen else Style()
    head: list[Segment] = []
    if room := _label_width(page):
        label = "" if piece.at else row.writer[:room]
        hue = page.writers.index(row.writer) % HUES if row.writer in page.writers else 0
        head.append(Segment(label.rjust(room) + " ", styles(f"label-{hue}") + under))
    style = styles("text" if row.level == "info" else row.level) + under
    head.append(Segment(("" if piece.at else GLYPHS[row.level]).ljust(2), style))
    room = max(1, width - margin(page) - 1)
    text = Strip(list(_marked(row, piece, style, styles, under)))
    x = 0 if look.wrap else look.x
    shown = text.crop(x, x + room).adjust_cell_length(room, style)
    if text.cell_length > x + room:
        shown = Strip([*shown.crop(0, room - 1), Segment("›", styles("quiet") + under)])
    return Strip([*head, *shown])


def _marked(row: Row, piece: Piece, style: Style, styles: Styles, under: Style) -> Iterator[Segment]:
    """The text with its badge and what was searched for in their own styles."""
    text, told = piece.text, len(badge(row))
    at = max(0, told - piece.at)
    if at:
        yield Segment(text[:at], styles("badge") + under)
    for start, end in row.marks:
        start, end = max(at, start + told - piece.at), end + told - piece.at
        if start < end and start < len(text):
            yield Segment(text[at:start], style)
            yield Segment(text[start:end], styles("hit"))
            at = end
    yield Segment(text[at:], style)


def _bar(page: Page, height: int, styles: Styles) -> list[Segment]:
    """The scroll bar, by bytes; nothing of it where everything is in sight."""
    if page.top <= 0 and page.bottom >= 1:
        return [Segment(" ", styles("text"))] * height
    first = min(height - 1, int(page.top * height))
    last = max(first, min(height - 1, int(page.bottom * height - 1e-9)))
    return [
        Segment("┃", styles("thumb")) if first <= y <= last else Segment("│", styles("bar"))
        for y in range(height)
    ]
