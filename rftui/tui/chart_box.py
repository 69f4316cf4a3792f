"""What stands around a chart: its title and value above, the marks of its x axis below."""

from collections.abc import Sequence

from rftui.tui import scale
from rftui.tui.blocks import cut_middle
from rftui.tui.plot import Plot, Role, Row, Span

GUTTER = scale.LABEL_WIDTH + 1
BOX = GUTTER + 3
"""Cells of a row that are not plot: both sides of the box, the gutter and one cell of air at the right."""
_LEAST_ASIDE = 6


def top_edge(title: str, aside: str, values: Sequence[str], width: int) -> Row:
    """`╭ title · aside ───── value ─╮`.

    The first of the values that fits, else none; for one at a crosshair the title is cut. The aside takes
    what is left.
    """

    def fits(value: str) -> bool:
        return len(title) + len(value) + 8 <= width

    value = next((each for each in values if fits(each)), values[-1])
    if not fits(value) and value.startswith("step "):
        title = title[: max(3, width - len(value) - 8)]
    if not fits(value):
        value = ""
    title = title[: width - 7]
    tail = [Span(f" {value} ", "value"), Span("─╮", "frame")] if value else [Span("──╮", "frame")]
    room = width - 4 - len(title) - sum(len(span.text) for span in tail)
    beside = []
    if aside and room - 4 >= _LEAST_ASIDE:
        beside = [Span(f"· {cut_middle(aside, room - 4)} ", "label")]
        room -= len(beside[0].text)
    return [Span("╭─", "frame"), Span(f" {title} ", "title"), *beside, Span("─" * room, "frame"), *tail]


def bottom_edge(plot: Plot, width: int, cells: int, cursor: int | None) -> Row:
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
    return grouped(edge[:width], roles[:width])


def note_rows(note: str, width: int, rows: int) -> list[Row]:
    """An empty plot with a note in its middle."""
    inner = width - 2
    texts = [""] * rows
    texts[rows // 2] = note[:inner]
    return [[Span("│", "frame"), Span(text.center(inner), "note"), Span("│", "frame")] for text in texts]


def grouped(chars: Sequence[str], roles: Sequence[Role]) -> Row:
    """Neighbouring characters of the same role as one span."""
    row: Row = []
    start = 0
    for at in range(1, len(chars) + 1):
        if at == len(chars) or roles[at] != roles[start]:
            row.append(Span("".join(chars[start:at]), roles[start]))
            start = at
    return row
