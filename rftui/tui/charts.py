"""From pre-bucketed data to rows of styled text: a box with title, y ticks, a braille line and x ticks.

Pure functions: no terminal, no widget, no state. A bucket holds the minimum, maximum and last value of what
falls on one dot column (two to a cell), so a spike of one step is drawn at any zoom. A bucket of NaN is a
gap, where the line breaks and the bottom row shows a cross.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isnan
from typing import Literal, NamedTuple

from rftui.runs.series import Bucket
from rftui.tui import scale

Role = Literal["frame", "title", "value", "label", "grid", "line", "raw", "point", "gap", "note", "blank"]

GUTTER = scale.LABEL_WIDTH + 1
_BOX = GUTTER + 3
"""Cells of a row that are not plot: both sides of the box, the gutter and one cell of air at the right."""

_HALF_UP = 0.5 + 1e-6
"""Rounds halves up in spite of rounding errors, so that a constant stays on one row."""

_LEFT_DOTS = (0x40, 0x04, 0x02, 0x01)
_RIGHT_DOTS = (0x80, 0x20, 0x10, 0x08)
_BRAILLE = [
    [
        chr(
            0x2800
            + sum(d for bit, d in enumerate(_LEFT_DOTS) if left >> bit & 1)
            + sum(d for bit, d in enumerate(_RIGHT_DOTS) if right >> bit & 1)
        )
        for right in range(16)
    ]
    for left in range(16)
]


class Span(NamedTuple):
    """A piece of a row in one style."""

    text: str
    role: Role


Row = list[Span]


@dataclass(frozen=True, slots=True)
class Plot:
    """What a chart shows: `buckets` of `columns` columns (best `dot_columns(width)`) over the steps `x`.

    `smoothing` is the weight of the moving average drawn before the raw line; 0 draws the raw line alone, and
    so does a chart of few measurements, which marks each.
    `note` stands in the middle of an empty chart.
    """

    title: str
    value: str = ""
    buckets: Sequence[Bucket] = ()
    columns: int = 0
    x: tuple[int, int] = (0, 0)
    smoothing: float = 0.0
    note: str = "no data yet"


def dot_columns(width: int) -> int:
    """How many columns of data a chart `width` cells wide draws."""
    return max(0, 2 * (width - _BOX))


def fitted(buckets: Sequence[Bucket], columns: int, wanted: int) -> list[Bucket]:
    """Buckets of `columns` columns in `wanted` ones: for a chart just resized, until its data comes."""
    if columns in (0, wanted):
        return list(buckets)
    out: list[Bucket] = []
    for bucket in buckets:
        moved = bucket._replace(column=min(wanted - 1, bucket.column * wanted // columns))
        if out and out[-1].column == moved.column and not isnan(moved.last):
            before = moved if isnan(out[-1].last) else out[-1]
            moved = moved._replace(
                start=before.start, min=min(before.min, moved.min), max=max(before.max, moved.max)
            )
            out[-1] = moved
        elif not out or out[-1].column != moved.column:
            out.append(moved)
    return out


def smoothed(buckets: Sequence[Bucket], weight: float) -> list[Bucket]:
    """Exponential moving average of the last values, bias-corrected, over the columns that hold data."""
    out: list[Bucket] = []
    average, seen = 0.0, 0
    for bucket in buckets:
        if isnan(bucket.last):
            out.append(bucket)
            continue
        seen += 1
        average = weight * average + (1 - weight) * bucket.last
        value = average / (1 - weight**seen)
        out.append(bucket._replace(min=value, max=value, last=value))
    return out


def paint(plot: Plot, width: int, height: int) -> list[Row]:
    """The rows of a chart of `width` × `height` cells, each exactly `width` cells wide."""
    cells, rows = width - _BOX, height - 2
    if cells < 4 or rows < 1:
        return [[Span(plot.title[:width].ljust(width), "title")] for _ in range(height)]
    buckets = fitted(plot.buckets, plot.columns, 2 * cells)
    filled = [bucket for bucket in buckets if not isnan(bucket.last)]
    top = _top_edge(plot.title, plot.value, width)
    if not filled:
        return [top, *_note_rows(plot.note, width, rows), [Span("╰" + "─" * (width - 2) + "╯", "frame")]]
    low, high = scale.value_range(value for bucket in filled for value in (bucket.min, bucket.max))
    body = _body(buckets, plot.smoothing, low, high, cells, rows)
    return [top, *body, _bottom_edge(plot.x, width, cells)]


def _top_edge(title: str, value: str, width: int) -> Row:
    """`╭ title ───── value ─╮`; the value goes first when there is no room, then the title is cut."""
    if len(title) + len(value) + 8 > width:
        value = ""
    title = title[: width - 7]
    tail = [Span(f" {value} ", "value"), Span("─╮", "frame")] if value else [Span("──╮", "frame")]
    used = 4 + len(title) + sum(len(span.text) for span in tail)
    return [Span("╭─", "frame"), Span(f" {title} ", "title"), Span("─" * (width - used), "frame"), *tail]


def _bottom_edge(x: tuple[int, int], width: int, cells: int) -> Row:
    """The bottom of the box with x ticks at their columns; the last step always stands at the right."""
    edge = ["─"] * width
    edge[0], edge[-1] = "╰", "╯"
    first, last = x
    taken = width
    start = 1 + GUTTER
    labels = [(start + cells - 1, f"{last}")]
    if last > first:
        labels += [
            (start + round((tick - first) / (last - first) * (cells - 1)), f"{tick:.0f}")
            for tick in reversed(scale.ticks(first, last, max(2, cells // 12)))
            if tick == int(tick)
        ]
    for centre, text in labels:
        at = min(centre - len(text) // 2, width - 2 - len(text))
        if at < 2 or at + len(text) + 1 >= taken:
            continue
        edge[at - 1 : at + len(text) + 1] = f" {text} "
        taken = at - 1
    return _grouped(edge, ["frame" if char in "╰─╯" else "label" for char in edge])


def _note_rows(note: str, width: int, rows: int) -> list[Row]:
    """An empty plot with a note in its middle."""
    inner = width - 2
    texts = [""] * rows
    texts[rows // 2] = note[:inner]
    return [[Span("│", "frame"), Span(text.center(inner), "note"), Span("│", "frame")] for text in texts]


def _body(
    buckets: Sequence[Bucket], smoothing: float, low: float, high: float, cells: int, rows: int
) -> list[Row]:
    """The plot area with its y labels, from the top row down."""
    dots = rows * 4
    few = len(buckets) * 2 <= cells
    front = smoothed(buckets, smoothing) if smoothing and not few else []
    layers = [_masks(layer, cells, low, high, dots) for layer in (buckets, front)]
    most = max(2, min(7, (rows + 1) // 2))
    step = scale.nice_step(high - low, most)
    labels = {
        _dot(tick, low, high, dots) // 4: scale.label(tick, step) for tick in scale.ticks(low, high, most)
    }
    marks = _marks(buckets, low, high, dots, few)
    body = []
    for row in range(rows - 1, -1, -1):
        text = labels.get(row, "")
        chars, roles = _plot_row(row, layers[0], layers[1] if front else [], cells, bool(text))
        for cell, mark, role in marks.get(row, ()):
            chars[cell], roles[cell] = mark, role
        body.append(
            [
                Span("│", "frame"),
                Span(f"{text:>{scale.LABEL_WIDTH}} ", "label"),
                *_grouped(chars, roles),
                Span(" ", "blank"),
                Span("│", "frame"),
            ]
        )
    return body


def _plot_row(
    row: int, raw: list[int], front: list[int], cells: int, tick: bool
) -> tuple[list[str], list[Role]]:
    """Characters and roles of one row: the smoothed line before the raw one before the grid."""
    shift = row * 4
    chars = ["┈" if tick else " "] * cells
    roles: list[Role] = ["grid" if tick else "blank"] * cells
    behind: Role = "raw" if front else "line"
    layers: tuple[tuple[list[int], Role], ...] = ((raw, behind), (front, "line"))
    for masks, role in layers:
        for cell in range(len(masks) // 2):
            left, right = masks[2 * cell] >> shift & 15, masks[2 * cell + 1] >> shift & 15
            if left or right:
                chars[cell], roles[cell] = _BRAILLE[left][right], role
    return chars, roles


def _dot(value: float, low: float, high: float, dots: int) -> int:
    """The dot row of a value, counted from the bottom."""
    exact = (value - low) / (high - low) * (dots - 1)
    return max(0, min(dots - 1, floor(exact + _HALF_UP)))


def _masks(buckets: Sequence[Bucket], cells: int, low: float, high: float, dots: int) -> list[int]:
    """One integer per dot column whose set bits are the dots to draw; neighbours are joined by a line."""
    masks = [0] * (2 * cells)
    before: tuple[int, int] | None = None
    for bucket in buckets:
        if isnan(bucket.last):
            before = None
            continue
        at = bucket.column
        bottom, top, last = (_dot(value, low, high, dots) for value in (bucket.min, bucket.max, bucket.last))
        masks[at] |= _bar(bottom, top)
        if before:
            start, level = before
            _join(masks, start, level, at, max(bottom, min(top, level)))
        before = (at, last)
    return masks


def _bar(bottom: int, top: int) -> int:
    """A mask with the bits from `bottom` to `top` set, both included."""
    return (1 << (top + 1)) - (1 << bottom)


def _join(masks: list[int], start: int, level: int, end: int, target: int) -> None:
    """Draw a straight line between two dots; every column covers half the way to its neighbours."""
    if level == target and end == start + 1:
        return
    slope = (target - level) / (end - start)
    for column in range(start, end + 1):
        one = round(level + slope * max(0.0, column - start - 0.5))
        two = round(level + slope * min(end - start, column - start + 0.5))
        masks[column] |= _bar(min(one, two), max(one, two))


def _marks(
    buckets: Sequence[Bucket], low: float, high: float, dots: int, few: bool
) -> dict[int, list[tuple[int, str, Role]]]:
    """Characters over the line, by row: gaps, and every measurement while they are few."""
    marks: dict[int, list[tuple[int, str, Role]]] = {}
    for bucket in buckets:
        if isnan(bucket.last):
            marks.setdefault(0, []).append((bucket.column // 2, "×", "gap"))
        elif few:
            row = _dot(bucket.last, low, high, dots) // 4
            marks.setdefault(row, []).append((bucket.column // 2, "●", "point"))
    return marks


def _grouped(chars: Sequence[str], roles: Sequence[Role]) -> Row:
    """Neighbouring characters of the same role as one span."""
    row: Row = []
    start = 0
    for at in range(1, len(chars) + 1):
        if at == len(chars) or roles[at] != roles[start]:
            row.append(Span("".join(chars[start:at]), roles[start]))
            start = at
    return row
