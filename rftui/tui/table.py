"""Small tables as text: columns that give way when there is no room, one of which may take what is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual.content import Content

from rftui.tui.blocks import cut

Row = TypeVar("Row")
Cell = str | tuple[str, str] | Content


@dataclass(frozen=True)
class Column(Generic[Row]):
    """`cell(row, width)` is text, or text and style. `rank`: columns of a higher one give way first.

    A `flexible` column takes the room that is left, and is at least `width` wide.
    """

    head: str
    width: int
    cell: Callable[[Row, int], Cell]
    rank: int = 0
    right: bool = False
    flexible: bool = False


def table(
    columns: Sequence[Column[Row]], rows: Sequence[Row], width: int, heading: bool = True
) -> list[Content]:
    """A line per row, after one of the columns' names."""
    shown = list(columns)
    while len(shown) > 1 and _taken(shown) > width:
        shown.remove(max(shown, key=lambda column: column.rank))
    spare = max(0, width - _taken(shown))
    widths = [column.width + (spare if column.flexible else 0) for column in shown]
    lines = [
        Content(" ").join(
            _placed(column, column.cell(row, room), room) for column, room in zip(shown, widths, strict=True)
        )
        for row in rows
    ]
    if not heading:
        return lines
    names = [
        _placed(column, (column.head, "$quiet"), room) for column, room in zip(shown, widths, strict=True)
    ]
    return [Content(" ").join(names), *lines]


def _taken(columns: Sequence[Column[Row]]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def _placed(column: Column[Row], cell: Cell, width: int) -> Content:
    if isinstance(cell, Content):
        return cell
    text, style = (cell, "") if isinstance(cell, str) else cell
    text = cut(text, width)
    return Content.styled(text.rjust(width) if column.right else text.ljust(width), style)
