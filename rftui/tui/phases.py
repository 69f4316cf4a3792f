"""How a step's time splits into phases, as text: one line for small screens, a bar with legend for others."""

from collections.abc import Mapping

from textual.content import Content

from rftui.tui.text import duration, percent

_HUES = {"rollout": 4, "reward": 6, "logprob": 3, "update": 2, "sync": 5, "eval": 1}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def _colour(phase: str) -> str:
    return f"$hue-{_HUES[phase]}" if phase in _HUES else "$quiet"


def _shares(seconds: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(phase, seconds, share) in the order given."""
    total = sum(seconds.values())
    return [(name, spent, spent / total) for name, spent in seconds.items()] if total > 0 else []


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
                (name, marked), " ", (_bar(share * max(2, bars), 1), _colour(name)), f" {percent(share)}  "
            )
        )
    return Content("").join(parts) if parts else Content.styled("no phase finished yet", "$quiet")


def _bar(cells: float, least: int) -> str:
    """A bar in eighths of a cell; whatever is there is at least one eighth."""
    eighths = max(1, round(cells * 8))
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(least)


def stacked(seconds: Mapping[str, float], width: int, height: int, now: str = "") -> Content:
    """A bar over the full width with the phases' names where they fit, then a legend in the rows below."""
    shares = _shares(seconds)
    if not shares:
        return Content.styled("no phase finished yet", "$quiet")
    bar = Content("").join(
        Content.styled(_fitted(name, cells), f"bold $ink on {_colour(name)}")
        for (name, _, _), cells in zip(shares, _cells([s for *_, s in shares], width), strict=True)
    )
    legend = _flowed([_entry(*phase, now) for phase in shares], width)
    if len(legend) > 2:
        legend = _flowed([_entry(name, None, share, now) for name, _, share in shares], width)
    return Content("\n").join([bar, *legend[: max(0, height - 1)]])


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
    """Whole cells per share that add up to `width`, by largest remainder; at least one for each."""
    cells = [max(1, int(share * width)) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: cells[i] - shares[i] * width)
    at = 0
    while sum(cells) != width and at < 4 * width:
        i = order[at % len(order)] if sum(cells) < width else max(range(len(cells)), key=cells.__getitem__)
        cells[i] += 1 if sum(cells) < width else -1
        at += 1
    return cells


def _flowed(entries: list[Content], width: int) -> list[Content]:
    """Entries side by side, as many to a line as fit."""
    lines = [entries[0]]
    for entry in entries[1:]:
        if lines[-1].cell_length + 2 + entry.cell_length <= width:
            lines[-1] = lines[-1] + "  " + entry
        else:
            lines.append(entry)
    return lines
