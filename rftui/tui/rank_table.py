"""The ranks as text: the sentence that says whether one is behind or all hang, and the table, worst first."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from textwrap import wrap

from textual.content import Content

from rftui.tui.blocks import SEVERITIES, cut
from rftui.tui.ranks import RankRow
from rftui.tui.snapshot import Snapshot
from rftui.tui.table import Cell, Column, table
from rftui.tui.text import duration, percent

COLLAPSED_ABOVE = 64
"""With more ranks than this there is a row per node."""
_WORDS = {
    "silent": ("✖ silent", "bold $error"),
    "late": ("▲ late", "bold $warning"),
    "waits": ("◌ waits", "$accent"),
    "works": ("● works", "$success"),
    "ended": ("■ ended", "$quiet"),
}


def rank_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """The sentence alone, or with as much of the table as fits beneath."""
    ranks = snapshot.ranks
    if not ranks.rows:
        return Content.styled("no rank has spoken yet", "$quiet")
    glyph, colour = SEVERITIES[ranks.severity]
    words = "" if ranks.severity == "info" else f"bold {colour}"
    room = max(8, width - 2)
    parts = [cut(ranks.said, room)] if height < 4 else wrap(ranks.said, room)
    lines = [
        Content.assemble((f"{glyph} " if at == 0 else "  ", f"bold {colour}"), (part, words))
        for at, part in enumerate(parts)
    ]
    room = height - len(lines)
    if room > 0:
        lines += _table(ranks.rows, width, heading=room >= min(4, len(ranks.rows) + 1))
    if len(lines) > height:
        hidden = len(lines) - height + 1
        lines = (
            [*lines[: height - 1], Content.styled(f"… and {hidden} more", "$quiet")]
            if height > 2
            else lines[:height]
        )
    return Content("\n").join(lines)


def _table(rows: Sequence[RankRow], width: int, heading: bool) -> list[Content]:
    if len(rows) > COLLAPSED_ABOVE:
        nodes: dict[str, list[RankRow]] = defaultdict(list)
        for row in rows:
            nodes[row.place.partition(":")[0] or "?"].append(row)
        return table(_NODE_COLUMNS, list(nodes.items()), width, heading)
    return table(_COLUMNS, rows, width, heading)


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def _lag(row: RankRow) -> Cell:
    return (f"−{row.lag}", "bold $warning") if row.lag else _number(row.lag)


def _heard(row: RankRow) -> str:
    return "–" if row.word == "ended" else duration(row.age)


def _phase(row: RankRow) -> str:
    return f"{row.phase} {duration(row.in_phase)}" if row.phase and row.word != "ended" else row.phase


_COLUMNS: list[Column[RankRow]] = [
    Column("rank", 4, lambda row, _: (str(row.rank), "bold"), right=True),
    Column("host:gpu", 10, lambda row, _: (row.place, "$quiet"), rank=8),
    Column("state", 8, lambda row, _: _WORDS[row.word]),
    Column("phase", 14, lambda row, _: _phase(row), rank=2),
    Column("step", 6, lambda row, _: str(row.step), rank=4, right=True),
    Column("coll", 6, lambda row, _: str(row.collective), rank=6, right=True),
    Column("heard", 6, lambda row, _: _heard(row), rank=3, right=True),
    Column("lag", 4, lambda row, _: _lag(row), rank=1, right=True),
    Column("wait", 5, lambda row, _: percent(row.wait_share), rank=5, right=True),
    Column("waits on", 16, lambda row, _: row.waits_on, rank=7),
    Column("last word", 14, lambda row, _: (row.message, "$quiet"), rank=9, flexible=True),
]

_Node = tuple[str, list[RankRow]]


def _steps(node: _Node) -> str:
    low, high = min(row.step for row in node[1]), max(row.step for row in node[1])
    return str(low) if low == high else f"{low}–{high}"


def _worst_lag(node: _Node) -> Cell:
    known = [row.lag for row in node[1] if row.lag is not None]
    worst = max(known, default=None)
    return (f"−{worst}", "bold $warning") if worst else _number(worst)


def _bad(node: _Node) -> str:
    bad = [str(row.rank) for row in node[1] if row.word in ("silent", "late")]
    return f"rank {', '.join(bad[:8])}" if bad else ""


def _wait(node: _Node) -> str:
    known = [row.wait_share for row in node[1] if row.wait_share is not None]
    return percent(fmean(known) if known else None)


_NODE_COLUMNS: list[Column[_Node]] = [
    Column("node", 10, lambda node, _: (node[0], "bold")),
    Column("ranks", 5, lambda node, _: str(len(node[1])), rank=5, right=True),
    Column("worst", 8, lambda node, _: _WORDS[node[1][0].word]),
    Column("step", 9, lambda node, _: _steps(node), rank=3, right=True),
    Column("heard", 6, lambda node, _: duration(max(row.age for row in node[1])), rank=2, right=True),
    Column("lag", 4, lambda node, _: _worst_lag(node), rank=1, right=True),
    Column("wait", 5, lambda node, _: _wait(node), rank=4, right=True),
    Column("", 14, lambda node, _: (_bad(node), "bold $error"), rank=1, flexible=True),
]
