"""The curves of several runs in one chart, each with a colour, and with a letter for eyes without colours.

Pure: from summaries of one column per dot (two to a cell) to rows of styled text.
"""

from collections.abc import Sequence
from math import floor, isnan

from textual.content import Content

from rftui.runs.series import Bucket
from rftui.tui import scale
from rftui.tui.axis import AxisName, Span
from rftui.tui.charts import fitted, smoothed
from rftui.tui.runs_table.comparison import Compared, Comparison
from rftui.tui.themes import HUES

GUTTER = scale.LABEL_WIDTH + 1
_DOTS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))
"""Braille bits of a cell from its lowest row up, left and right."""
_LETTER_EVERY = 24
"""Cells between two letters on the same line."""


def hue(place: int) -> str:
    """The colour of the run at that place."""
    return f"$hue-{place % HUES + 1}"


def cells(width: int) -> int:
    """How many cells of a chart so wide hold data."""
    return max(0, width - GUTTER - 1)


def paint(comparison: Comparison, smoothing: float, width: int, height: int) -> list[Content]:
    """`height` rows: the plot, and a last row with the marks of the x axis."""
    room, rows = cells(width), height - 1
    if room < 4 or rows < 2:
        return [Content("") for _ in range(height)]
    lines = [_line(run, smoothing, 2 * room) for run in comparison.runs]
    values = [
        value
        for line in lines
        for bucket in line
        if not isnan(bucket.last)
        for value in (bucket.min, bucket.max)
    ]
    if not values:
        note = "no values yet" if any(run.behind for run in comparison.runs) else "no run tells this metric"
        return [Content("")] * (rows // 2) + [Content.styled(note.center(width), "$quiet")]
    low, high = scale.value_range(values)
    plot = _Plot(room, rows)
    for place, line in enumerate(lines):
        plot.draw(line, low, high, place)
    for place, (run, line) in enumerate(zip(comparison.runs, lines, strict=True)):
        plot.letter(run.letter, line, low, high, place, len(lines))
    labels = _labels(low, high, rows)
    return [
        *(plot.row(row, labels.get(row, "")) for row in range(rows - 1, -1, -1)),
        _x_axis(comparison.x, comparison.asked.axis, room),
    ]


def _line(run: Compared, smoothing: float, columns: int) -> list[Bucket]:
    buckets = fitted(run.curve.buckets, run.curve.columns, columns)
    few = len(buckets) * 4 <= columns
    return smoothed(buckets, smoothing) if smoothing and not few else buckets


class _Plot:
    """Dots per cell, and who drew there last."""

    def __init__(self, width: int, rows: int) -> None:
        self.width, self.rows = width, rows
        self._bits = [[0] * width for _ in range(rows)]
        self._owner = [[-1] * width for _ in range(rows)]
        self._letters: dict[tuple[int, int], tuple[str, int]] = {}

    def draw(self, line: Sequence[Bucket], low: float, high: float, place: int) -> None:
        """Join the columns; a column of several points reaches from their least to their greatest."""
        before: tuple[int, float] | None = None
        for bucket in line:
            if isnan(bucket.last):
                before = None
                continue
            self._column(bucket.column, bucket.min, bucket.max, low, high, place)
            if before is not None:
                start, value = before
                for column in range(start, bucket.column):
                    ends = (
                        value + (bucket.last - value) * (at - start) / (bucket.column - start)
                        for at in (column, column + 1)
                    )
                    one, two = sorted(ends)
                    self._column(column, one, two, low, high, place)
            before = (bucket.column, bucket.last)

    def letter(
        self, letter: str, line: Sequence[Bucket], low: float, high: float, place: int, runs: int
    ) -> None:
        """Write the run's letter on its line, at its end and here and there, apart from the others'."""
        shift = place * _LETTER_EVERY // max(1, runs)
        filled = [bucket for bucket in line if not isnan(bucket.last)]
        at_cells = {bucket.column // 2: bucket for bucket in filled}
        wanted = [cell for cell in range(shift + 2, self.width, _LETTER_EVERY) if cell in at_cells]
        if filled:
            wanted.append(filled[-1].column // 2)
        for cell in wanted:
            row = self._dot(at_cells[cell].last, low, high) // 4
            self._letters.setdefault((row, cell), (letter, place))

    def row(self, row: int, label: str) -> Content:
        """A row with its mark of the y axis."""
        parts: list[tuple[str, str]] = [(f"{label:>{scale.LABEL_WIDTH}} ", "$quiet")]
        for cell in range(self.width):
            letter = self._letters.get((row, cell))
            bits, owner = self._bits[row][cell], self._owner[row][cell]
            if letter is not None:
                parts.append((letter[0], f"bold {hue(letter[1])}"))
            elif bits:
                parts.append((chr(0x2800 + bits), hue(owner)))
            else:
                parts.append(("┈", "$grid") if label else (" ", ""))
        return Content.assemble(*_merged(parts))

    def _column(self, column: int, least: float, most: float, low: float, high: float, place: int) -> None:
        cell, right = divmod(min(column, 2 * self.width - 1), 2)
        for dot in range(self._dot(least, low, high), self._dot(most, low, high) + 1):
            row, inside = divmod(dot, 4)
            self._bits[row][cell] |= _DOTS[inside][right]
            self._owner[row][cell] = place

    def _dot(self, value: float, low: float, high: float) -> int:
        dots = self.rows * 4
        return max(0, min(dots - 1, floor((value - low) / (high - low) * (dots - 1) + 0.5)))


def _merged(parts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style as one piece."""
    merged: list[tuple[str, str]] = []
    for text, style in parts:
        if merged and merged[-1][1] == style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    return merged


def _labels(low: float, high: float, rows: int) -> dict[int, str]:
    """Row → mark of the y axis."""
    most = max(2, min(7, (rows + 1) // 2))
    return {
        floor((tick - low) / (high - low) * (rows * 4 - 1) + 0.5) // 4: text
        for tick, text in scale.y_labels(low, high, most, False)
    }


def _x_axis(x: Span, axis: AxisName, room: int) -> Content:
    """Marks of the x axis: its last value in any case, and round ones that do not touch others."""
    first, last = x
    line = [" "] * room
    labels = [(room - 1, scale.x_label(last, axis, last - first))]
    if last > first:
        labels += [
            (round((tick - first) / (last - first) * (room - 1)), scale.x_label(tick, axis, last - first))
            for tick in reversed(scale.x_ticks(first, last, max(2, room // 12), axis))
        ]
    for centre, text in labels:
        at = max(0, min(centre - len(text) // 2, room - len(text)))
        if all(char == " " for char in line[max(0, at - 1) : at + len(text) + 1]):
            line[at : at + len(text)] = text
    return Content.styled(" " * GUTTER + "".join(line), "$quiet")
