"""The table of runs as a file: the rows as they are sorted and filtered, every value whole."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path

from rftui.tui.runs_table.markdown import table
from rftui.tui.runs_table.row import Row

KINDS = (".csv", ".md")
HEADS = (
    "name",
    "status",
    "step",
    "total_steps",
    "reward",
    "best_reward",
    "created",
    "seconds",
    "tokens_per_s",
    "lr",
    "tags",
    "preset",
    "model",
    "note",
)


def write(paths: Sequence[Path], rows: Sequence[Row], now: float) -> None:
    """Write each file whole, none over another; raises OSError."""
    lines = [_values(row, now) for row in rows]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_csv(lines) if path.suffix == ".csv" else "\n".join([*table(HEADS, lines), ""]))


def _values(row: Row, now: float) -> list[str]:
    summary, digest = row.summary, row.digest
    created = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(summary.created)) if summary.created else ""
    return [
        row.name,
        row.status,
        str(summary.step),
        str(summary.total_steps or ""),
        _number(row.reward),
        _number(digest.best),
        created,
        _number(row.seconds(now)),
        _number(digest.tokens_per_s),
        _number(digest.lr),
        " ".join(row.notes.tags),
        summary.preset,
        row.model,
        row.notes.text,
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.7g}"


def _csv(lines: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(HEADS)
    rows.writerows(lines)
    return out.getvalue()
