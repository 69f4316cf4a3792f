"""How steps' time splits into phases, as text: one line, a bar, the newest steps as columns or as rows."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median

from textual.content import Content

from rftui.tui.axis import rounded_up
from rftui.tui.blocks import EIGHTHS, LEVELS, flowed
from rftui.tui.snapshot import IDLE, Snapshot, StepTime
from rftui.tui.text import duration, percent

_HUES = {"rollout": 4, "reward": 6, "logprob": 3, "update": 2, "sync": 5, "eval": 1}
_COLUMN = 2
"""Cells per step. No air between them: neighbours of one colour are sent to the terminal as one piece."""
_GUTTER = 6
_ROWS_FROM = 12
"""With this many rows there is one for each step."""
_CLIPPED = 2.0
"""Steps of more than this many times the median reach over the edge, marked with an arrow."""


def phase_panel(snapshot: Snapshot, width: int, height: int) -> Content:
    """Shares of the last steps' time, and each of the newest steps where there is room."""
    if height == 1:
        return one_line(snapshot.phases, width, snapshot.phase_now)
    if height == 2 or width < 3 * _GUTTER:
        return stacked(snapshot.phases, width, height, snapshot.phase_now)
    if not snapshot.timeline:
        return Content.styled("no step finished yet", "$quiet")
    legend = _legend(snapshot.phases, width, snapshot.phase_now)
    legend = legend[: max(1, height - 3)]
    room = height - len(legend)
    if room >= _ROWS_FROM:
        steps = rows(snapshot.timeline, width, room)
    else:
        steps = columns(_in_place(snapshot.timeline, width, snapshot.active), width, room)
    return Content("\n").join([*steps, *legend])


def phase_title(snapshot: Snapshot, width: int) -> str:
    """What stands in the frame."""
    over = f" · mean of {snapshot.phase_steps} steps" if snapshot.phase_steps else ""
    now = f" · now {snapshot.phase_now}" if snapshot.phase_now else ""
    return f"phases{over}{now}"


def one_line(seconds: Mapping[str, float], width: int, now: str = "") -> Content:
    """`rollout █████ 62%  reward ▏ 2%  …`: bars share what the words leave; small phases go first."""
    shares = _shares(seconds)
    shown = list(shares)
    while shown:
        words = sum(len(name) + len(percent(share)) + 5 for name, _, share in shown)
        bars = width - words + 2
        if bars >= 2 * len(shown) or len(shown) == 1:
            break
        shown.remove(min(shown, key=lambda phase: phase[2]))
    parts: list[Content] = []
    for name, _, share in shown:
        marked = "bold" if name == now else "$quiet"
        parts.append(
            Content.assemble(
                (name, marked), " ", (_bar(share * max(2, bars)), _colour(name)), f" {percent(share)}  "
            )
        )
    return Content("").join(parts) if parts else Content.styled("no phase finished yet", "$quiet")


def stacked(seconds: Mapping[str, float], width: int, height: int, now: str = "") -> Content:
    """A bar over the full width with the phases' names where they fit, then a legend in the rows below."""
    shares = _shares(seconds)
    if not shares:
        return Content.styled("no phase finished yet", "$quiet")
    return Content("\n").join(
        [_named_bar(shares, width), *_legend(seconds, width, now)[: max(0, height - 1)]]
    )


def rows(timeline: Sequence[StepTime], width: int, height: int) -> list[Content]:
    """A bar per step, the newest first: `  412 rollout████ update██ 8.2s idle 2%`."""
    newest = list(reversed(timeline[-height:]))
    longest, tail = _scale(newest), 17
    label = max(len(str(step.step)) for step in newest)
    lines = []
    for step in newest:
        total = sum(step.seconds.values())
        cells = max(1, min(width - label - tail, round(total / longest * (width - label - tail))))
        bar = _named_bar(_shares(step.seconds), cells)
        words = f"{duration(total):>6} idle {percent(step.seconds[IDLE] / total if total else 0):>4}"
        gap = " " * (width - label - tail - cells)
        lines.append(Content.assemble((f"{step.step:>{label}} ", "$quiet"), bar, gap, f"{words}"))
    return lines


def columns(timeline: Sequence[StepTime], width: int, height: int) -> list[Content]:
    """A stack per step, as high as the step was long; phases from the bottom up."""
    newest = timeline[-((width - _GUTTER) // _COLUMN) :]
    longest = rounded_up(_scale(newest) * 1000) / 1000
    stacks = [_stack(step, longest, height * 8) for step in newest]
    lines = []
    for row in range(height - 1, -1, -1):
        label = duration(longest) if row == height - 1 else "0s" if row == 0 else ""
        cells = [_cell(stack, row) for stack in stacks]
        lines.append(Content.assemble((f"{label:>{_GUTTER - 1}} ", "$quiet"), *_merged(cells)))
    return lines


def _in_place(timeline: Sequence[StepTime], width: int, growing: bool) -> Sequence[StepTime]:
    """The newest steps; of a growing run with some room after them, so that they stay where they are."""
    fit = max(1, (width - _GUTTER) // _COLUMN)
    hidden = max(0, len(timeline) - fit)
    if not growing or not timeline:
        return timeline[hidden:]
    shift = max(1, fit // 4)
    last = timeline[-1].step
    first = -(-max(0, last + 1 - fit) // shift) * shift
    return [step for step in timeline[hidden:] if step.step >= first]


_Stack = tuple[list[tuple[str, int, int]], bool]
"""(phase, from, to) in eighths of a cell, and whether the step is longer than the scale."""


def _scale(timeline: Sequence[StepTime]) -> float:
    """Seconds that fill the height: the longest step, unless it is far longer than the others."""
    totals = [sum(step.seconds.values()) for step in timeline]
    return max(1e-9, min(max(totals), _CLIPPED * median(totals)))


def _stack(step: StepTime, longest: float, eighths: int) -> _Stack:
    found, spent, at = [], 0.0, 0
    for name, seconds in step.seconds.items():
        spent += seconds
        top = min(eighths, round(spent / longest * eighths))
        if top > at:
            found.append((name, at, top))
        at = top
    return found, spent > longest * 1.001


def _cell(stack: _Stack, row: int) -> tuple[str, str]:
    """One row of a stack: one phase, or the boundary of the two that take most of it."""
    parts, clipped = stack
    low, high = row * 8, row * 8 + 8
    inside = [(name, max(low, a), min(high, b)) for name, a, b in parts if a < high and b > low]
    width = _COLUMN
    if not inside:
        return " " * width, ""
    if clipped and parts[-1][2] == high:
        return "↑".center(width), f"bold $ink on {_colour(inside[-1][0])}"
    filled = inside[-1][2] - low
    main = sorted(sorted(inside, key=lambda part: part[1] - part[2])[:2], key=lambda part: part[1])
    if filled < 8:
        largest = max(inside, key=lambda part: part[2] - part[1])
        return LEVELS[filled - 1] * width, _colour(largest[0])
    if len(main) == 1:
        return "█" * width, _colour(main[0][0])
    boundary = main[0][2] - low
    return LEVELS[min(6, max(0, boundary - 1))] * width, f"{_colour(main[0][0])} on {_colour(main[1][0])}"


def _merged(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of the same style as one."""
    return [
        ("".join(text for text, _ in run), style) for style, run in groupby(cells, key=lambda cell: cell[1])
    ]


def _colour(phase: str) -> str:
    if phase == IDLE:
        return "$frame"
    return f"$hue-{_HUES[phase]}" if phase in _HUES else "$quiet"


def _shares(seconds: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(phase, seconds, share) in the order given."""
    total = sum(seconds.values())
    return [(name, spent, spent / total) for name, spent in seconds.items()] if total > 0 else []


def _bar(cells: float) -> str:
    """A bar in eighths of a cell; whatever is there is at least one eighth."""
    whole, rest = divmod(max(1, round(cells * 8)), 8)
    return "█" * whole + (EIGHTHS[rest] if rest else "")


def _legend(seconds: Mapping[str, float], width: int, now: str) -> list[Content]:
    """`■ rollout 5.1s 62%  ■ update …`, without the seconds where that would need a third line."""
    shares = _shares(seconds)
    legend = flowed([_entry(*phase, now) for phase in shares], width)
    if len(legend) > 1:
        legend = flowed([_entry(name, None, share, now) for name, _, share in shares], width)
    return legend


def _named_bar(shares: list[tuple[str, float, float]], width: int) -> Content:
    cells = _cells([share for *_, share in shares], width)
    return Content("").join(
        Content.styled(_fitted(name, room), f"bold $ink on {_colour(name)}")
        for (name, _, _), room in zip(shares, cells, strict=True)
    )


def _entry(name: str, spent: float | None, share: float, now: str) -> Content:
    """`■ rollout 5.1s 62%`; the phase of this moment is bold."""
    return Content.assemble(
        ("■ ", _colour(name)),
        (name, "bold" if name == now else ""),
        (f" {duration(spent)}" if spent is not None else "", "$quiet"),
        f" {percent(share)}",
    )


def _fitted(name: str, cells: int) -> str:
    return name.center(cells) if len(name) + 2 <= cells else " " * cells


def _cells(shares: list[float], width: int) -> list[int]:
    """Whole cells per share that add up to `width`, by largest remainder; at least one for what is there."""
    cells = [max(1 if share else 0, int(share * width)) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: cells[i] - shares[i] * width)
    at = 0
    while sum(cells) != width and at < 4 * width:
        i = order[at % len(order)] if sum(cells) < width else max(range(len(cells)), key=cells.__getitem__)
        cells[i] += 1 if sum(cells) < width else -1
        at += 1
    return cells
