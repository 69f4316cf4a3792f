"""Bars, levels and rows of words made of characters: what the painters of panels share."""

from collections.abc import Sequence

from textual.content import Content

EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"
SEVERITIES = {"error": ("✖", "$error"), "warning": ("▲", "$warning"), "info": ("·", "$quiet")}
"""Glyph and colour of a severity."""


def bar(share: float, cells: int) -> str:
    """A bar of `cells` cells, filled to `share` in eighths of a cell."""
    whole, rest = divmod(min(cells * 8, max(0, round(share * cells * 8))), 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(cells)


def level(share: float) -> str:
    """One character for a share from 0 to 1."""
    return LEVELS[min(len(LEVELS) - 1, max(0, int(share * len(LEVELS))))]


def joined(parts: Sequence[Content], width: int, gap: str = "   ") -> Content:
    """Parts side by side, as many as fit whole; the first in any case."""
    line, length = parts[0], parts[0].cell_length
    for part in parts[1:]:
        length += len(gap) + part.cell_length
        if length > width:
            break
        line = Content.assemble(line, gap, part)
    return line


def flowed(entries: Sequence[Content], width: int, gap: str = "  ") -> list[Content]:
    """Entries side by side, as many to a line as fit."""
    lines: list[Content] = []
    for entry in entries:
        if lines and lines[-1].cell_length + len(gap) + entry.cell_length <= width:
            lines[-1] = Content.assemble(lines[-1], gap, entry)
        else:
            lines.append(entry)
    return lines


def cut(text: str, room: int) -> str:
    """`text` in at most `room` characters, with `…` where something is missing."""
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def cut_middle(text: str, room: int) -> str:
    """The same with the end kept, which is what tells names of runs apart."""
    if len(text) <= room or room < 3:
        return cut(text, room)
    end = room // 2
    return f"{text[: room - 1 - end]}…{text[-end:]}"
