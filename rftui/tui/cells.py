"""What stands on the terminal, so that of a frame only the cells are sent that are others than before.

Textual sends each row from its widget's left edge to the last cell that changed, and every piece of it with
its whole style: nine bytes in ten that a terminal need not be told.
"""

import re
from itertools import groupby
from typing import NamedTuple

from rich.cells import get_character_cell_size

from rftui.tui.sgr import change, on_space

_PIECE = re.compile(r"\x1b\[([0-9;]*)([Hm])([^\x1b]*)")
"""A frame is nothing but these: go to a cell, or set a style; then text."""
_NO_CELL = re.compile(r"(?:\x1b\[[?<>=][0-9;]*\$?[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x07)*")
"""Modes, queries, titles, the bell: what changes no cell."""
_OTHER_SCREEN = "1049"
_ONE_CELL = re.compile("[ -~\u00a1-\u00ac\u2010-\u2027\u2190-\u21ff\u2500-\u25fc\u2800-\u28ff]*")
"""Characters that are surely one cell wide, which is quickly seen."""
_UNKNOWN = "\0"
_BRIDGED = 3
"""So many unchanged cells between two changes are sent again rather than jumped over."""


class Written(NamedTuple):
    """A piece of a row: character and style of each cell, from column `x` of row `y` on, both from 0."""

    y: int
    x: int
    text: str
    styles: list[str]


class Cells:
    """Follows what is written to one terminal."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._styles: dict[int, list[str]] = {}
        self._cursor = ""

    def forget(self) -> None:
        """What stands there is not known any more."""
        self._texts.clear()
        self._styles.clear()
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
        """From the left edge of the first row to that of the last one known."""
        return [(piece.y, piece.x) for piece in written] == [
            (y, 0) for y in range(max(self._texts, default=0) + 1)
        ]

    def _put(self, new: Written, out: "_Output") -> None:
        y, start, end = new.y, new.x, new.x + len(new.text)
        if not _all_one_cell(new.text):  # which cells it covers is up to the terminal
            self._texts.pop(y, None)
            self._styles.pop(y, None)
            out.write(new, 0, len(new.text))
            out.lost()
            return
        text, styles = self._texts.get(y, ""), self._styles.setdefault(y, [])
        if len(text) < end:
            styles += [""] * (end - len(text))
            text += _UNKNOWN * (end - len(text))
        old_text, old_styles = text[start:end], styles[start:end]
        if old_text == new.text and old_styles == new.styles:
            self._texts[y] = text
            return
        self._texts[y] = text[:start] + new.text + text[end:]
        styles[start:end] = new.styles
        changed = [
            at
            for at, (one, two, before, after) in enumerate(
                zip(old_text, new.text, old_styles, new.styles, strict=True)
            )
            if one != two or before != after
        ]
        for first, last in _stretches(changed, new.styles):
            out.write(new, first, last + 1)


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

    def write(self, new: Written, first: int, end: int) -> None:
        """These cells of a piece."""
        y, x = new.y, new.x + first
        if self._at is not None and self._at[0] == y and x >= self._at[1]:
            if x > self._at[1]:
                self._parts.append(f"\x1b[{x - self._at[1]}C")
        else:
            self._parts.append(f"\x1b[{y + 1};{x + 1}H")
        at = first
        for style, run in groupby(new.styles[first:end]):
            length = sum(1 for _ in run)
            text = new.text[at : at + length]
            at += length
            if not (text.isspace() and on_space(self._style) == style):
                self._parts.append(change(self._style, style))
                self._style = style
            self._parts.append(text)
        self._at = (y, x + end - first)

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
    y = x = 0
    texts: list[str] = []
    styles: list[str] = []
    style = ""
    for params, kind, text in pieces:
        if kind == "H":
            if texts:
                written.append(Written(y, x, "".join(texts), styles))
                texts, styles = [], []
            row, _, column = params.partition(";")
            y, x, style = int(row) - 1, int(column) - 1, ""
        else:
            style = "" if params == "0" else params
        text = text.removesuffix("\n")
        if text:
            texts.append(text)
            blank = on_space(style)
            if blank == style:
                styles += [style] * len(text)
            else:
                styles += [blank if char == " " else style for char in text]
    return written, f"\x1b[{pieces[-1][0]}H"


def _stretches(changed: list[int], styles: list[str]) -> list[tuple[int, int]]:
    """First and last of neighbouring changes; small gaps of the same style are closed."""
    found: list[tuple[int, int]] = []
    for at in changed:
        if found:
            first, last = found[-1]
            if at - last - 1 <= _BRIDGED and all(style == styles[last] for style in styles[last + 1 : at]):
                found[-1] = (first, at)
                continue
        found.append((at, at))
    return found


def _all_one_cell(text: str) -> bool:
    return bool(_ONE_CELL.fullmatch(text)) or all(get_character_cell_size(char) == 1 for char in text)
