"""The tables of a comparison as styled text: a legend, settings that differ, numbers at the end."""

from collections.abc import Sequence
from typing import Any

from textual.content import Content

from rftui.tui.blocks import cut, flowed
from rftui.tui.panels import status_word
from rftui.tui.runs_table.comparison import Comparison, Delta
from rftui.tui.runs_table.overlay import hue
from rftui.tui.text import clean_line, duration, number

_KEY = 16
_LEAST = 4


def legend(comparison: Comparison, width: int) -> Content:
    """`a name ● running step 412`; the first is what the others are held against."""
    entries = []
    for place, run in enumerate(comparison.runs):
        parts: list[Any] = [
            (f"{run.letter} ", f"bold ${hue(place)}"),
            (cut(clean_line(run.name), 28), "bold"),
        ]
        parts += [" ", status_word(run.status), (f" step {run.step}", "$quiet")]
        if run.behind:
            parts.append((" reading", "$accent"))
        entries.append(Content.assemble(*parts))
    entries += [
        Content.styled(f"{run.letter}: {clean_line(run.problem)}", "$error")
        for run in comparison.runs
        if run.problem
    ]
    return Content("\n").join(flowed(entries, width, "   "))


def settings_table(comparison: Comparison, width: int) -> Content:
    """A line per setting that differs."""
    if not comparison.differences:
        return Content.styled("all settings are the same", "$quiet")
    rows = [(each.key, [(value, "") for value in each.values]) for each in comparison.differences]
    return _table(comparison, rows, width)


def numbers_table(comparison: Comparison, width: int) -> Content:
    """A line per number: the first run's value, and of the others theirs with how far they are apart."""
    rows = [(each.metric, numbers_row(each)) for each in comparison.deltas]
    return _table(comparison, rows, width) if rows else Content.styled("no numbers yet", "$quiet")


def numbers_row(delta: Delta) -> list[tuple[str, str]]:
    """Value and difference of each run, as text and style."""
    cells: list[tuple[str, str]] = []
    for value, apart, share in zip(delta.values, delta.deltas, delta.shares, strict=True):
        text = value_words(delta.metric, value)
        if len(cells) and apart is not None:
            by = (
                f"{apart:+.3g}"
                if share is None
                else f"{share:+.0%}"
                if abs(share) >= 0.1
                else f"{share:+.1%}"
            )
            text += f" ({by})" if apart else " (=)"
        cells.append((text, ""))
    return cells


def value_words(metric: str, value: float | None) -> str:
    """A value with its unit, where it has one."""
    if value is None:
        return "—"
    if metric == "steps":
        return f"{value:.0f}"
    return duration(value) if metric == "duration" or metric.startswith("time/") else number(value)


def _table(
    comparison: Comparison, rows: Sequence[tuple[str, Sequence[tuple[str, str]]]], width: int
) -> Content:
    """Keys to the left, a column per run; cells are cut where there are too many for the width."""
    runs = comparison.runs
    heads = [f"{run.letter} {clean_line(run.name)}" for run in runs]
    needed = [max(len(cells[at][0]) for _, cells in rows) for at in range(len(runs))]
    longest = max(len(key) for key, _ in rows)
    key_room = max(min(longest, _KEY), min(longest, width - sum(needed) - len(runs)))
    widths = _shared(needed, [len(head) for head in heads], width - key_room - len(runs))
    head = [Content(" " * key_room)]
    for place, (name, cell) in enumerate(zip(heads, widths, strict=True)):
        head.append(Content.styled(f"{cut(name, cell):>{cell}}", f"bold ${hue(place)}"))
    lines = [Content(" ").join(head)]
    for key, cells in rows:
        parts = [Content.styled(f"{_key(key, key_room):<{key_room}}", "$quiet")]
        for (text, style), cell in zip(cells, widths, strict=True):
            parts.append(Content.styled(f"{_fitting(clean_line(text), cell):>{cell}}", style))
        lines.append(Content(" ").join(parts))
    return Content("\n").join(lines)


def _shared(needed: Sequence[int], wished: Sequence[int], room: int) -> list[int]:
    """What each column needs, the widest giving way where that is too much; what is left, as wished."""
    widths = [max(need, _LEAST) for need in needed]
    while sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    unmet = [max(0, wish - width) for wish, width in zip(wished, widths, strict=True)]
    while sum(widths) < room and any(unmet):
        at = unmet.index(max(unmet))
        widths[at], unmet[at] = widths[at] + 1, unmet[at] - 1
    return widths


def _fitting(text: str, room: int) -> str:
    """A cell in its room: rather without its difference, or the folder of a path, than cut."""
    bare = text.strip("'").rstrip("/").rpartition("/")[2]
    whole = (each for each in (text, text.partition(" (")[0], bare) if len(each) <= room)
    return next(whole, cut(bare, room))


def _key(key: str, room: int) -> str:
    """A parameter's own name where that of its section has no room, too, or else the end of it."""
    name = key if len(key) <= room else key.rpartition(".")[2]
    return name if len(name) <= room else "…" + name[-room + 1 :]
