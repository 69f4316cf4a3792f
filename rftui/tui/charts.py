"""From pre-bucketed data to rows of styled text: a box with title, y ticks, a braille line and x ticks.

Pure functions: no terminal, no widget, no state. A bucket holds the minimum, maximum and last value of what
falls on one dot column (two to a cell), so a spike of one step is drawn at any zoom. A bucket of NaN is a
gap, where the line breaks and the bottom row shows a cross.
"""

from collections.abc import Sequence
from math import isnan, log10, nan

from rftui.runs.series import Bucket
from rftui.tui import braille, scale
from rftui.tui.axis import Span as XSpan
from rftui.tui.chart_box import BOX, bottom_edge, grouped, note_rows, top_edge
from rftui.tui.plot import Line, Plot, Role, Row, Span
from rftui.tui.text import number

LETTER_EVERY = 24
"""Cells between two letters on the same line."""

Layer = tuple[Role, Sequence[Bucket]]
"""A curve and how it is drawn."""
Marks = dict[int, list[tuple[int, str, Role]]]
"""Row → cell, character and role of what is written over the curves."""


def dot_columns(width: int) -> int:
    """How many columns of data a chart `width` cells wide draws."""
    return max(0, 2 * (width - BOX))


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
    value, seen = 0.0, 0
    for bucket in buckets:
        if isnan(bucket.last):
            out.append(bucket)
            continue
        seen += 1
        value += (bucket.last - value) * (1 - weight) / (1 - weight**seen)
        out.append(bucket._replace(min=value, max=value, last=value))
    return out


def paint(plot: Plot, width: int, height: int) -> list[Row]:
    """The rows of a chart of `width` × `height` cells, each exactly `width` cells wide."""
    cells, rows = width - BOX, height - 2
    if cells < 4 or rows < 1:
        return [[Span(plot.title[:width].ljust(width), "title")] for _ in range(height)]
    own = fitted(plot.buckets, plot.columns, 2 * cells)
    front = smoothed(own, plot.smoothing) if plot.smoothing and not _few(own, cells) else []
    layers: list[Layer] = [(line.role, _behind(line, plot.smoothing, cells)) for line in plot.others]
    layers += [("raw" if front else "line", own), ("line", front)]
    title, note = plot.title, plot.note
    if plot.log:
        title += " · log"
        if any(bucket.min <= 0 for _, layer in layers for bucket in layer):
            title, note = f"{title}, ≤ 0 left out", "nothing above 0 to draw on a logarithmic axis"
        layers = [(role, _logarithms(layer)) for role, layer in layers]
    cursor = _cursor_cell(plot, cells)
    top = top_edge(title, plot.aside, [plot.value] if cursor is None else _at_cursor(plot), width)
    values = [v for _, layer in layers for b in layer if not isnan(b.last) for v in (b.min, b.max)]
    if not values:
        return [top, *note_rows(note, width, rows), [Span("╰" + "─" * (width - 2) + "╯", "frame")]]
    low, high = scale.log_range(values) if plot.log else scale.value_range(values)
    marks = _letters(plot.others, layers, (low, high), cells, 4 * rows)
    _mark_own(marks, layers[-2][1], (low, high), 4 * rows, _few(own, cells))
    body = _body(layers, marks, (low, high), cells, rows, plot.log, cursor)
    return [top, *body, bottom_edge(plot, width, cells, cursor)]


def _behind(line: Line, smoothing: float, cells: int) -> list[Bucket]:
    """Another run's curve, or its average."""
    buckets = fitted(line.buckets, line.columns, 2 * cells)
    return smoothed(buckets, smoothing) if smoothing and not _few(buckets, cells) else buckets


def _under_cursor(plot: Plot, buckets: Sequence[Bucket], columns: int) -> int | None:
    """Which bucket stands under the crosshair: the last one that begins at or before it."""
    if plot.cursor is None or not columns:
        return None
    first, last = plot.x
    column = (plot.cursor - first) / (last - first) * columns if last > first else 0
    before = [at for at, bucket in enumerate(buckets) if bucket.column <= column]
    return before[-1] if before else None


def _at_cursor(plot: Plot) -> list[str]:
    """`step 231: 0.612 · b 0.58 (0.5–0.7)`: with values of others; with extremes and, shorter, without.

    Extremes are there where several steps share a column.
    """
    at = _under_cursor(plot, plot.buckets, plot.columns)
    if at is None:
        return ["no value here"]
    bucket = plot.buckets[at]
    step = f"step {plot.steps[at]}: " if at < len(plot.steps) else ""
    said = step + number(bucket.last)
    for line in plot.others:
        there = _under_cursor(plot, line.buckets, line.columns)
        if there is not None and not _ended_before(plot, line):
            said += f" · {line.letter} {number(line.buckets[there].last)}"
    if bucket.min == bucket.max or isnan(bucket.min):
        return [said]
    return [f"{said} ({number(bucket.min)}–{number(bucket.max)})", said]


def _ended_before(plot: Plot, line: Line) -> bool:
    """Whether that run has nothing any more where the crosshair is."""
    first, last = plot.x
    newest = first + (line.buckets[-1].column + 1) * (last - first) / line.columns
    return plot.cursor is not None and plot.cursor > newest


def _cursor_cell(plot: Plot, cells: int) -> int | None:
    if plot.cursor is None:
        return None
    first, last = plot.x
    share = (plot.cursor - first) / (last - first) if last > first else 0.0
    return min(cells - 1, max(0, int(share * cells)))


def _logarithms(buckets: Sequence[Bucket]) -> list[Bucket]:
    """Decimal logarithms; what is not above zero counts as missing, without the mark of a gap."""
    return [
        bucket._replace(
            min=_log(bucket.min, bucket.last), max=_log(bucket.max, bucket.last), last=_log(bucket.last)
        )
        for bucket in buckets
        if isnan(bucket.last) or bucket.last > 0
    ]


def _log(value: float, instead: float = nan) -> float:
    return log10(value) if value > 0 else log10(instead) if instead > 0 else nan


def _few(buckets: Sequence[Bucket], cells: int) -> bool:
    """So few measurements that each is marked."""
    return len(buckets) * 2 <= cells


def _body(
    layers: Sequence[Layer], marks: Marks, span: XSpan, cells: int, rows: int, log: bool, cursor: int | None
) -> list[Row]:
    """The plot area with its y labels, from the top row down."""
    low, high = span
    dots = rows * 4
    drawn = [(role, braille.masks(layer, cells, low, high, dots)) for role, layer in layers if layer]
    most = max(2, min(7, (rows + 1) // 2))
    labels = {
        braille.dot(tick, low, high, dots) // 4: text for tick, text in scale.y_labels(low, high, most, log)
    }
    body = []
    for row in range(rows - 1, -1, -1):
        text = labels.get(row, "")
        chars, roles = _plot_row(row, drawn, cells, bool(text))
        for cell, mark, role in marks.get(row, ()):
            chars[cell], roles[cell] = mark, role
        if cursor is not None and roles[cursor] in ("blank", "grid"):
            chars[cursor], roles[cursor] = "│", "cursor"
        body.append(
            [
                Span("│", "frame"),
                Span(f"{text:>{scale.LABEL_WIDTH}} ", "label"),
                *grouped(chars, roles),
                Span(" ", "blank"),
                Span("│", "frame"),
            ]
        )
    return body


def _plot_row(
    row: int, drawn: Sequence[tuple[Role, list[int]]], cells: int, tick: bool
) -> tuple[list[str], list[Role]]:
    """Characters and roles of one row: later curves lie before earlier ones, and all before the grid."""
    shift = row * 4
    chars = ["┈" if tick else " "] * cells
    roles: list[Role] = ["grid" if tick else "blank"] * cells
    for role, masks in drawn:
        for cell in range(cells):
            left, right = masks[2 * cell] >> shift & 15, masks[2 * cell + 1] >> shift & 15
            if left or right:
                chars[cell], roles[cell] = braille.PATTERNS[left][right], role
    return chars, roles


def _letters(others: Sequence[Line], layers: Sequence[Layer], span: XSpan, cells: int, dots: int) -> Marks:
    """Each line's letter at its end and here and there, apart from the others'; the first line's in front."""
    marks: Marks = {}
    for place, (line, (role, layer)) in reversed([*enumerate(zip(others, layers, strict=False))]):
        at = {bucket.column // 2: bucket.last for bucket in layer if not isnan(bucket.last)}
        first = place * LETTER_EVERY // len(others) + 2
        for cell in {*range(first, cells, LETTER_EVERY), max(at, default=0)} & at.keys():
            marks.setdefault(braille.dot(at[cell], *span, dots) // 4, []).append((cell, line.letter, role))
    return marks


def _mark_own(marks: Marks, buckets: Sequence[Bucket], span: XSpan, dots: int, few: bool) -> None:
    """Gaps, and every measurement while they are few."""
    for bucket in buckets:
        if isnan(bucket.last):
            marks.setdefault(0, []).append((bucket.column // 2, "×", "gap"))
        elif few:
            row = braille.dot(bucket.last, *span, dots) // 4
            marks.setdefault(row, []).append((bucket.column // 2, "●", "point"))
