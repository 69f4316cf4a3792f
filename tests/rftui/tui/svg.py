"""What stands on a screen, with its colours in a dark and a light theme, as a small SVG.

A line of text is a line of the file, so that differences can be read. Which theme a browser shows follows
what its user prefers.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from rich.color import Color
from rich.style import Style
from textual.app import App
from textual.strip import Strip

_CELL, _LINE, _BASE = 9.6, 20, 15
"""Width of a cell, height of a line, and where letters stand on it, in pixels."""

Looks = dict[tuple[str, str], str]
"""Class by its rules in both themes."""
Cells = list[list[tuple[str, Style]]]
"""Row by row the characters of a screen, each with its look."""


def strips_of(app: App[None]) -> list[Strip]:
    """What the app shows now."""
    return app.screen._compositor.render_strips(app.size)


def cells_of(strips: Sequence[Strip]) -> Cells:
    """The same, cell by cell."""
    return [[(char, part.style or Style()) for part in strip for char in part.text] for strip in strips]


def picture(dark: Cells, light: Cells, size: tuple[int, int]) -> str:
    """The SVG of one screen in two themes, which must show the same characters."""
    width, height = round(size[0] * _CELL), size[1] * _LINE
    looks: Looks = {}
    body = [
        line
        for row, (some, others) in enumerate(zip(dark, light, strict=True))
        for line in _line([(char, a, b) for (char, a), (_, b) in zip(some, others, strict=True)], row, looks)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
            "<style>text{font:16px monospace;white-space:pre}",
            *(f".{name}{{{rule}}}" for (rule, _), name in looks.items()),
            "@media(prefers-color-scheme:light){",
            *(f".{name}{{{rule}}}" for (_, rule), name in looks.items()),
            "}</style>",
            *body,
            "</svg>\n",
        ]
    )


def _line(cells: Sequence[tuple[str, Style, Style]], row: int, looks: Looks) -> Iterator[str]:
    """The backgrounds of a line, then its text."""
    at = 0.0
    for rules, run in groupby(cells, lambda cell: (_back(cell[1]), _back(cell[2]))):
        width = len(list(run)) * _CELL
        place = f'x="{at:.1f}" y="{row * _LINE}" width="{width:.1f}" height="{_LINE}"'
        yield f'<rect class="{_class(rules, looks)}" {place}/>'
        at += width
    spans = []
    for rules, run in groupby(cells, lambda cell: (_front(cell[1]), _front(cell[2]))):
        spans.append((_class(rules, looks), "".join(char for char, *_ in run)))
    while spans and not spans[-1][1].strip():
        spans.pop()
    if spans:
        text = "".join(f'<tspan class="{name}">{escape(text, quote=False)}</tspan>' for name, text in spans)
        yield f'<text y="{row * _LINE + _BASE}">{text}</text>'


def _back(style: Style) -> str:
    return f"fill:{_hex(style.color if style.reverse else style.bgcolor, is_front=bool(style.reverse))}"


def _front(style: Style) -> str:
    colour = _hex(style.bgcolor if style.reverse else style.color, is_front=not style.reverse)
    bold = ";font-weight:bold" if style.bold else ""
    slant = ";font-style:italic" if style.italic else ""
    return f"fill:{colour}{bold}{slant}" + (";text-decoration:underline" if style.underline else "")


def _hex(colour: Color | None, is_front: bool) -> str:
    return colour.get_truecolor(foreground=is_front).hex if colour is not None else "none"


def _class(rules: tuple[str, str], looks: Looks) -> str:
    return looks.setdefault(rules, f"c{len(looks)}")
