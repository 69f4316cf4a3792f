"""What stands on the terminal, so that of a frame only the cells are sent that are others than before.

Textual sends each row from its widget's left edge to the last cell that changed, and every piece of it with
its whole style: nine bytes in ten that a terminal need not be told.
"""

import re
from itertools import groupby
from typing import NamedTuple

from rftui.tui.sgr import change, on_space

_PIECE = re.compile(r"\x1b\[([0-9;]*)([Hm])([^\x1b]*)")
"""A frame is nothing but these: go to a cell, or set a style; then text."""
_NO_CELL = re.compile(
    r"(?:\x1b\[[?<>=][0-9;]*\$?[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x07"
    r"|\x1bPtmux;(?:[^\x1b]|\x1b\x1b)*\x1b\\)*"
)
"""Modes, queries, titles, notifications (also through tmux), the bell: what changes no cell."""
_OTHER_SCREEN = "1049"
_ONE_CELL = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u024f\u0391-\u03c9\u0410-\u044f\u2010-\u2027\u2039\u203a\u20ac"
    "\u2190-\u22ff\u2500-\u25fc\u2713-\u2718\u2800-\u28ff]*"
)
"""Characters that are one cell wide wherever frames and charts are: terminals differ about many others, such
as the soft hyphen, and libraries know no better."""
_UNKNOWN = "\0"
_BRIDGED = 3
"""So many unchanged cells between two changes are sent again rather than jumped over."""


class Written(NamedTuple):
    """A piece of a row, from column `x` of row `y` on, both from 0: texts with their styles."""

    y: int
    x: int
    pieces: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """A character per cell, where each is one cell wide."""
        return "".join(text for text, _ in self.pieces)

    @property
    def styles(self) -> list[str]:
        """The style of each cell."""
        styles: list[str] = []
        for text, style in self.pieces:
            blank = on_space(style)
            if blank == style:
                styles += [style] * len(text)
            else:
                styles += [blank if char == " " else style for char in text]
        return styles


class Cells:
    """Follows what is written to one terminal of so many rows."""

    def __init__(self, rows: int) -> None:
        self._all = [(y, 0) for y in range(rows)]
        """Where a whole frame begins its rows."""
        self._rows: dict[int, tuple[str, list[str]]] = {}
        """Row → characters, and the style of each."""
        self._fresh: dict[int, Written] = {}
        """Row → all that is known of it, until it is needed cell by cell."""
        self._cursor = ""

    def forget(self) -> None:
        """What stands there is not known any more."""
        self._rows.clear()
        self._fresh.clear()
        self._cursor = ""

    def spared(self, data: str) -> str:
        """What must be written for the terminal to show the same as after `data`.

        A frame of all rows is sent whole: it mends what somebody else wrote over the screen.
        """
        frame = _taken_apart(data)
        if frame is None:
            if not _NO_CELL.fullmatch(data) or _OTHER_SCREEN in data:
                self.forget()
            return data
        written, cursor = frame
        if self._is_whole(written):
            self.forget()
        out = _Output()
        for piece in written:
            self._put(piece, out)
        if not out.sent and cursor == self._cursor:
            return ""
        self._cursor = cursor
        return out.end(cursor)

    def _is_whole(self, written: list[Written]) -> bool:
        return [(new.y, new.x) for new in written] == self._all

    def _put(self, new: Written, out: "_Output") -> None:
        text = new.text
        if not _ONE_CELL.fullmatch(text):  # which cells it covers is up to the terminal
            self._rows.pop(new.y, None)
            self._fresh.pop(new.y, None)
            out.write(new.y, new.x, new.pieces)
            out.lost()
            return
        if new.y not in self._rows and new.y not in self._fresh and not new.x:
            self._fresh[new.y] = new
            out.write(new.y, 0, new.pieces)
            return
        start, end = new.x, new.x + len(text)
        row, row_styles = self._row(new.y, end)
        old, old_styles, styles = row[start:end], row_styles[start:end], new.styles
        if old == text and old_styles == styles:
            return
        row_styles[start:end] = styles
        self._rows[new.y] = row[:start] + text + row[end:], row_styles
        cells = enumerate(zip(old, text, old_styles, styles, strict=True))
        changed = [at for at, (one, two, before, after) in cells if one != two or before != after]
        for first, last in _stretches(changed, styles):
            out.write(new.y, start + first, _pieces(text, styles, first, last + 1))

    def _row(self, y: int, length: int) -> tuple[str, list[str]]:
        """A row cell by cell, unknown ones for what is missing of `length`."""
        fresh = self._fresh.pop(y, None)
        text, styles = (fresh.text, fresh.styles) if fresh else self._rows.get(y, ("", []))
        missing = max(0, length - len(text))
        self._rows[y] = text + _UNKNOWN * missing, styles + [""] * missing
        return self._rows[y]


class _Output:
    """A frame as it is sent: jumps as short as possible, styles only where they change."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._at: tuple[int, int] | None = None
        self._style = ""

    @property
    def sent(self) -> bool:
        """Whether there is anything to be sent."""
        return bool(self._parts)

    def write(self, y: int, x: int, pieces: list[tuple[str, str]]) -> None:
        """These texts, each with its style, from there on."""
        if self._at is not None and self._at[0] == y and x >= self._at[1]:
            if x > self._at[1]:
                self._parts.append(f"\x1b[{x - self._at[1]}C")
        else:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        for text, style in pieces:
            if not (text.isspace() and on_space(self._style) == on_space(style)):
                self._parts.append(change(self._style, style))
                self._style = style
            self._parts.append(text)
            x += len(text)
        self._at = (y, x)

    def lost(self) -> None:
        """Nobody knows where the cursor is."""
        self._at = None

    def end(self, cursor: str) -> str:
        """All of it; the style is reset, and the cursor where it belongs."""
        return "".join([*self._parts, change(self._style, ""), cursor])


def _taken_apart(data: str) -> tuple[list[Written], str] | None:
    """What a frame writes, and where it leaves the cursor; None if it is anything but a frame."""
    pieces = _PIECE.findall(data)
    if not pieces or pieces[0][1] != "H" or pieces[-1][1:] != ("H", ""):
        return None
    if sum(len(params) + len(text) for params, _, text in pieces) + 3 * len(pieces) != len(data):
        return None
    written: list[Written] = []
    style = ""
    for params, kind, text in pieces[:-1]:
        if kind == "H":
            row, _, column = params.partition(";")
            written.append(Written(int(row) - 1, int(column) - 1, []))
            style = ""
        else:
            style = "" if params == "0" else params
        text = text.removesuffix("\n")
        if text:
            written[-1].pieces.append((text, style))
    return [new for new in written if new.pieces], f"\x1b[{pieces[-1][0]}H"


def _pieces(text: str, styles: list[str], first: int, end: int) -> list[tuple[str, str]]:
    """Neighbouring cells of the same style together."""
    found, at = [], first
    for style, run in groupby(styles[first:end]):
        length = sum(1 for _ in run)
        found.append((text[at : at + length], style))
        at += length
    return found


def _stretches(changed: list[int], styles: list[str]) -> list[tuple[int, int]]:
    """First and last of neighbouring changes; small gaps of the same style are closed."""
    if not changed:
        return []
    found = []
    first = last = changed[0]
    for at in changed[1:]:
        if at > last + 1 and (at > last + 1 + _BRIDGED or len(set(styles[last:at])) > 1):
            found.append((first, last))
            first = at
        last = at
    return [*found, (first, last)]
