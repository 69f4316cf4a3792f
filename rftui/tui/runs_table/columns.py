"""The columns of the table of runs: what stands in each, and how rows are sorted by it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from textual.content import Content

from rftui.tui.blocks import cut_middle
from rftui.tui.home import spark
from rftui.tui.panels import STATUS_GLYPHS
from rftui.tui.runs_table.reading import POINTS
from rftui.tui.runs_table.row import Row
from rftui.tui.table import Cell, Column, table
from rftui.tui.text import clean_line, duration, number

WIDE = 150
"""From this many cells on, notes get the room that is left; below, names do."""


@dataclass(frozen=True)
class Order:
    """By which column, and whether the largest comes first."""

    column: str = "age"
    down: bool = False


@dataclass(frozen=True)
class Entry:
    """What a line is painted from."""

    row: Row
    marked: bool
    now: float


def _status(entry: Entry, width: int) -> Cell:
    glyph, colour = STATUS_GLYPHS.get(entry.row.status, ("?", "$quiet"))
    return f"{glyph} {entry.row.status}", colour


def _name(entry: Entry, width: int) -> Cell:
    return cut_middle(clean_line(entry.row.name), width), "bold"


def _step(entry: Entry, width: int) -> Cell:
    summary = entry.row.summary
    return f"{summary.step}/{summary.total_steps}" if summary.total_steps else str(summary.step or "—")


def _number(read: Callable[[Row], float | None]) -> Callable[[Entry, int], Cell]:
    def cell(entry: Entry, width: int) -> Cell:
        value = read(entry.row)
        return ("—", "$quiet") if value is None else number(value)

    return cell


def _took(entry: Entry, width: int) -> Cell:
    seconds = entry.row.seconds(entry.now)
    return ("—", "$quiet") if seconds is None else duration(seconds)


_COLUMNS: tuple[Column[Entry], ...] = (
    Column("", 1, lambda entry, width: ("◆", "bold $accent") if entry.marked else " "),
    Column("name", 16, _name, flexible=True),
    Column("status", 12, _status),
    Column("step", 9, _step, rank=1, right=True),
    Column("reward", 7, _number(lambda row: row.reward), rank=2, right=True),
    Column("best", 7, _number(lambda row: row.digest.best), rank=4, right=True),
    Column("curve", POINTS, lambda entry, width: (spark(entry.row.digest.rewards), "$hue-1"), rank=5),
    Column("age", 6, lambda entry, width: (duration(entry.row.age(entry.now)), "$quiet"), rank=3, right=True),
    Column("took", 7, _took, rank=7, right=True),
    Column("tok/s", 6, _number(lambda row: row.digest.tokens_per_s), rank=8, right=True),
    Column("lr", 7, _number(lambda row: row.digest.lr), rank=9, right=True),
    Column("tags", 14, lambda entry, width: (_tags(entry.row), "$accent"), rank=6),
    Column("preset", 12, lambda entry, width: clean_line(entry.row.summary.preset), rank=12),
    Column("model", 16, lambda entry, width: clean_line(_short(entry.row.model, width)), rank=11),
    Column("note", 14, lambda entry, width: (clean_line(_remark(entry.row)), "$quiet"), rank=10),
)

_SORTS: dict[str, Callable[[Row, float], float | str | None]] = {
    "age": lambda row, now: row.age(now),
    "name": lambda row, now: row.name.lower(),
    "status": lambda row, now: row.status,
    "step": lambda row, now: row.summary.step,
    "reward": lambda row, now: row.reward,
    "best": lambda row, now: row.digest.best,
    "took": lambda row, now: row.seconds(now),
    "tok/s": lambda row, now: row.digest.tokens_per_s,
    "lr": lambda row, now: row.digest.lr,
    "tags": lambda row, now: _tags(row) or None,
    "preset": lambda row, now: row.summary.preset,
    "model": lambda row, now: row.model,
    "note": lambda row, now: row.notes.text or None,
}
SORTABLE = tuple(_SORTS)
_LARGEST_FIRST = ("reward", "best", "step", "tok/s", "took", "lr")


def sorted_rows(rows: Sequence[Row], order: Order, now: float) -> list[Row]:
    """Rows in an order; those without a value come last in any case, equal ones newest first."""
    read = _SORTS[order.column]
    newest = sorted(rows, key=lambda row: (-row.summary.created, row.name))
    with_value = [row for row in newest if read(row, now) is not None]
    without = [row for row in newest if read(row, now) is None]
    return sorted(with_value, key=lambda row: read(row, now), reverse=order.down) + without  # type: ignore[arg-type,return-value]


def by(column: str, order: Order) -> Order:
    """Sorted by this column: the best end first, and the other way round when asked again."""
    if column == order.column:
        return replace(order, down=not order.down)
    return Order(column, column in _LARGEST_FIRST)


def shown(width: int, order: Order) -> list[Column[Entry]]:
    """The columns that fit, in the widths they get, with the order's arrow in its head."""
    wide = width >= WIDE
    columns = []
    for column in _COLUMNS:
        if column.head == "name":
            column = replace(column, flexible=not wide, width=24 if wide else column.width)
        if column.head == "note":
            column = replace(column, flexible=wide)
        if column.head == order.column:
            column = replace(column, head=f"{column.head}{'▼' if order.down else '▲'}")
        columns.append(column)
    return columns


def line(entry: Entry, columns: Sequence[Column[Entry]], width: int) -> Content:
    """One row."""
    return table(columns, [entry], width, heading=False)[0]


def heading(columns: Sequence[Column[Entry]], width: int) -> Content:
    """The names of the columns."""
    return table(columns, (), width)[0]


def column_at(x: int, columns: Sequence[Column[Entry]], width: int) -> str | None:
    """The sortable column whose head stands at that cell."""
    words = heading(columns, width).plain
    if not 0 <= x < len(words) or words[x] == " ":
        return None
    start = words.rfind(" ", 0, x) + 1
    head = words[start:].split(" ", 1)[0].rstrip("▲▼")
    return head if head in _SORTS else None


def _tags(row: Row) -> str:
    return " ".join(f"#{tag}" for tag in row.notes.tags)


def _short(model: str, width: int) -> str:
    """The last part of a path or hub id, where the whole does not fit."""
    return model if len(model) <= width else model.rstrip("/").rpartition("/")[2]


def _remark(row: Row) -> str:
    """The note, else what is wrong."""
    return row.notes.text or row.summary.problem or (row.detail.cause if row.detail else "")


def told(entry: Entry) -> tuple[object, ...]:
    """All that a line is painted from: where it is the same, so is the line."""
    return entry.row, entry.marked, duration(entry.row.age(entry.now)), _took(entry, 0)


def marks(rows: Sequence[Row], marked: Collection[str], now: float) -> list[Entry]:
    """Rows as they are painted."""
    return [Entry(row, row.name in marked, now) for row in rows]
