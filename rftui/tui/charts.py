"""From pre-bucketed data to rows of styled text: a box with title, y ticks, a braille line and x ticks.

Pure functions: no terminal, no widget, no state. A bucket holds the minimum, maximum and last value of what
falls on one dot column (two to a cell), so a spike of one step is drawn at any zoom. A bucket of NaN is a
gap, where the line breaks and the bottom row shows a cross.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log10, nan
from typing import Literal, NamedTuple

from rftui.runs.series import Bucket
from rftui.tui import braille, scale
from rftui.tui.axis import AxisName
from rftui.tui.axis import Span as XSpan
from rftui.tui.text import number

Role = Literal[
    "frame", "title", "value", "label", "grid", "line", "raw", "point", "gap", "note", "blank", "cursor"
]

GUTTER = scale.LABEL_WIDTH + 1
_BOX = GUTTER + 3
"""Cells of a row that are not plot: both sides of the box, the gutter and one cell of air at the right."""


class Span(NamedTuple):
    """A piece of a row in one style."""

    text: str
    role: Role


Row = list[Span]


@dataclass(frozen=True, slots=True)
class Plot:
    """What a chart shows: `buckets` of `columns` columns (best `dot_columns(width)`) over `x` along `axis`.

    `steps` holds the last step of each bucket, `cursor` the x of the crosshair. `log`: the value axis is
    logarithmic, and what is not above zero is not drawn, which the title says.
    `smoothing` is the weight of the moving average drawn before the raw line; 0 draws the raw line alone, and
    so does a chart of few measurements, which marks each.
    `note` stands in the middle of an empty chart, `corner` at the bottom left.
    """

    title: str
    value: str = ""
    buckets: Sequence[Bucket] = ()
    columns: int = 0
    x: XSpan = (0.0, 0.0)
    smoothing: float = 0.0
    axis: AxisName = "step"
    steps: Sequence[int] = ()
    cursor: float | None = None
    log: bool = False
    note: str = "no data yet"
    corner: str = ""


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
    front = smoothed(buckets, plot.smoothing) if plot.smoothing and not _few(buckets, cells) else []
    title, note = plot.title, plot.note
    if plot.log:
        title += " · log"
        if any(bucket.min <= 0 for bucket in buckets):
            title, note = f"{title}, ≤ 0 left out", "nothing above 0 to draw on a logarithmic axis"
        buckets, front = _logarithms(buckets), _logarithms(front)
    filled = [bucket for bucket in buckets if not isnan(bucket.last)]
    cursor = _cursor_cell(plot, cells)
    top = _top_edge(title, plot.value if cursor is None else _at_cursor(plot), width)
    if not filled:
        return [top, *_note_rows(note, width, rows), [Span("╰" + "─" * (width - 2) + "╯", "frame")]]
    values = [value for bucket in filled for value in (bucket.min, bucket.max)]
    low, high = scale.log_range(values) if plot.log else scale.value_range(values)
    body = _body(buckets, front, (low, high), cells, rows, plot.log, cursor)
    return [top, *body, _bottom_edge(plot, width, cells, cursor)]


def cursor_bucket(plot: Plot) -> int | None:
    """Which bucket stands under the crosshair: the last one that begins at or before it."""
    if plot.cursor is None or not plot.columns:
        return None
    first, last = plot.x
    column = (plot.cursor - first) / (last - first) * plot.columns if last > first else 0
    before = [at for at, bucket in enumerate(plot.buckets) if bucket.column <= column]
    return before[-1] if before else None


def _at_cursor(plot: Plot) -> str:
    """`step 231: 0.612`, with the extremes where several steps share a column."""
    at = cursor_bucket(plot)
    if at is None:
        return "no value here"
    bucket = plot.buckets[at]
    step = f"step {plot.steps[at]}: " if at < len(plot.steps) else ""
    extremes = (
        ""
        if bucket.min == bucket.max or isnan(bucket.min)
        else f" ({number(bucket.min)}–{number(bucket.max)})"
    )
    return f"{step}{number(bucket.last)}{extremes}"


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


def _top_edge(title: str, value: str, width: int) -> Row:
    """`╭ title ───── value ─╮`; the value goes first when there is no room, then the title is cut."""
    if len(title) + len(value) + 8 > width:
        value = value.partition(" (")[0]
    if len(title) + len(value) + 8 > width and value.startswith("step "):
        title = title[: max(3, width - len(value) - 8)]
    if len(title) + len(value) + 8 > width:
        value = ""
    title = title[: width - 7]
    tail = [Span(f" {value} ", "value"), Span("─╮", "frame")] if value else [Span("──╮", "frame")]
    used = 4 + len(title) + sum(len(span.text) for span in tail)
    return [Span("╭─", "frame"), Span(f" {title} ", "title"), Span("─" * (width - used), "frame"), *tail]


def _bottom_edge(plot: Plot, width: int, cells: int, cursor: int | None) -> Row:
    """The bottom of the box with x ticks at their columns; the end, or else the crosshair, in any case."""
    edge = ["─"] * width
    edge[0], edge[-1] = "╰", "╯"
    roles: list[Role] = ["frame"] * width
    if plot.corner and len(plot.corner) + 2 <= GUTTER:
        edge[1 : len(plot.corner) + 3] = f" {plot.corner} "
        roles[1 : len(plot.corner) + 3] = ["label"] * (len(plot.corner) + 2)
    first, last = plot.x
    start = 1 + GUTTER
    labels: list[tuple[int, str, Role]] = []
    if cursor is not None and plot.cursor is not None:
        labels.append((start + cursor, scale.x_label(plot.cursor, plot.axis, last - first), "cursor"))
    labels.append((start + cells - 1, scale.x_label(last, plot.axis, last - first), "label"))
    if last > first:
        labels += [
            (
                start + round((tick - first) / (last - first) * (cells - 1)),
                scale.x_label(tick, plot.axis, last - first),
                "label",
            )
            for tick in reversed(scale.x_ticks(first, last, max(2, cells // 12), plot.axis))
        ]
    for centre, text, role in labels:
        at = max(2, min(centre - len(text) // 2, width - 2 - len(text)))
        if any(roles[cell] != "frame" for cell in range(at - 1, min(width, at + len(text) + 1))):
            continue
        edge[at - 1 : at + len(text) + 1] = f" {text} "
        roles[at - 1 : at + len(text) + 1] = [role] * (len(text) + 2)
    return _grouped(edge[:width], roles[:width])


def _note_rows(note: str, width: int, rows: int) -> list[Row]:
    """An empty plot with a note in its middle."""
    inner = width - 2
    texts = [""] * rows
    texts[rows // 2] = note[:inner]
    return [[Span("│", "frame"), Span(text.center(inner), "note"), Span("│", "frame")] for text in texts]


def _body(
    buckets: Sequence[Bucket],
    front: Sequence[Bucket],
    span: XSpan,
    cells: int,
    rows: int,
    log: bool,
    cursor: int | None,
) -> list[Row]:
    """The plot area with its y labels, from the top row down."""
    low, high = span
    dots = rows * 4
    layers = [braille.masks(layer, cells, low, high, dots) for layer in (buckets, front)]
    most = max(2, min(7, (rows + 1) // 2))
    labels = {
        braille.dot(tick, low, high, dots) // 4: text for tick, text in scale.y_labels(low, high, most, log)
    }
    marks = _marks(buckets, low, high, dots, _few(buckets, cells))
    body = []
    for row in range(rows - 1, -1, -1):
        text = labels.get(row, "")
        chars, roles = _plot_row(row, layers[0], layers[1] if front else [], cells, bool(text))
        for cell, mark, role in marks.get(row, ()):
            chars[cell], roles[cell] = mark, role
        if cursor is not None and roles[cursor] in ("blank", "grid"):
            chars[cursor], roles[cursor] = "│", "cursor"
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
                chars[cell], roles[cell] = braille.PATTERNS[left][right], role
    return chars, roles


def _marks(
    buckets: Sequence[Bucket], low: float, high: float, dots: int, few: bool
) -> dict[int, list[tuple[int, str, Role]]]:
    """Characters over the line, by row: gaps, and every measurement while they are few."""
    marks: dict[int, list[tuple[int, str, Role]]] = {}
    for bucket in buckets:
        if isnan(bucket.last):
            marks.setdefault(0, []).append((bucket.column // 2, "×", "gap"))
        elif few:
            row = braille.dot(bucket.last, low, high, dots) // 4
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
