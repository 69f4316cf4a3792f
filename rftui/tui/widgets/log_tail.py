"""The end of the run's logs: one strip per visible line, whatever the number of lines behind it."""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.strip import Strip
from textual.widget import Widget

from rftui.tui.keys import bindings
from rftui.tui.screens.live_keys import LOG_KEYS

Kind = Literal["rank", "text", "error", "warning", "note"]

KEPT = 5000
TORCHRUN = -1
"""The rank under which torchrun's own lines stand."""


class LogLine(NamedTuple):
    """A printable line and the rank that printed it."""

    rank: int
    text: str


class LogTail(Widget, can_focus=True):
    """Follows the end until scrolled back; shows rank 0 or all ranks."""

    ALLOW_MAXIMIZE = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--rank",
        "log--text",
        "log--error",
        "log--warning",
        "log--note",
    }
    BINDINGS: ClassVar[list[BindingType]] = bindings(LOG_KEYS)

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.all_ranks = False
        self.back = 0
        """How many lines the view stands before the end; 0 follows."""
        self._all: deque[LogLine] = deque(maxlen=KEPT)
        self._main: deque[LogLine] = deque(maxlen=KEPT)

    def on_mount(self) -> None:
        """Show what is followed in the title."""
        self._retitle()

    @property
    def lines(self) -> deque[LogLine]:
        """The lines of the chosen ranks; torchrun's while rank 0 has none."""
        return self._all if self.all_ranks or not self._main else self._main

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Append new lines; a view that is scrolled back stays where it is."""
        shown, came = self.lines, 0
        for line in lines:
            self._all.append(line)
            if line.rank == 0:
                self._main.append(line)
            came += line.rank == 0 or shown is self._all
        if self.back:
            self.back = min(self.back + came, len(self.lines))
        self._retitle()
        self.refresh()

    def clear(self) -> None:
        """Forget all lines."""
        self._all.clear()
        self._main.clear()
        self.back = 0
        self.refresh()

    def toggle_ranks(self) -> None:
        """Rank 0, or all ranks."""
        self.all_ranks = not self.all_ranks
        self.action_follow()

    def action_scroll(self, lines: int) -> None:
        """Move the view back (positive) or on."""
        self.back = max(0, min(self.back + lines, len(self.lines) - self.size.height))
        self._retitle()
        self.refresh()

    def action_scroll_page(self, pages: int) -> None:
        """Move the view by its height."""
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_follow(self) -> None:
        """Follow the end again."""
        self.back = 0
        self._retitle()
        self.refresh()

    def on_mouse_scroll_up(self) -> None:
        """Three lines back."""
        self.action_scroll(3)

    def on_mouse_scroll_down(self) -> None:
        """Three lines on."""
        self.action_scroll(-3)

    def render_line(self, y: int) -> Strip:
        """The line at row `y`."""
        width, height = self.size
        lines = self.lines
        if not lines:
            text = "nothing logged yet" if y == 0 else ""
            return self._cut([Segment(text, self._style("note"))], width)
        at = max(0, len(lines) - self.back - height) + y
        if at >= len(lines):
            return Strip.blank(width, self.rich_style)
        line = lines[at]
        rank = "torchrun" if line.rank == TORCHRUN else f"r{line.rank}"
        return self._cut(
            [Segment(f"{rank} ", self._style("rank")), Segment(line.text, self._style(_kind(line.text)))],
            width,
        )

    def _cut(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _style(self, kind: Kind) -> Style:
        return self.get_component_rich_style(f"log--{kind}")

    def _retitle(self) -> None:
        whose = "all ranks" if self.all_ranks else "rank 0"
        where = f"{self.back} lines before the end" if self.back else "following"
        self.border_title = f" log · {whose} · {where} "


def _kind(text: str) -> Kind:
    """How a line is coloured, by the first words that say its level."""
    head = text[:200]
    if "ERROR" in head or "Error:" in head or "Traceback" in head:
        return "error"
    return "warning" if "WARN" in head.upper() else "text"
