"""A widget that shows what a pure function makes of the latest snapshot at its own size."""

from collections.abc import Callable
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from rftui.tui.blocks import cut
from rftui.tui.keys import bindings
from rftui.tui.panels import Painter
from rftui.tui.screens.live_keys import PANE_KEYS
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.painted import Painted

LABEL_WIDTH = 6
_UNBOUNDED = 1000

Titled = Callable[[Snapshot, int], str]
"""A title for a width."""


class Panel(Painted):
    """Repaints what differs from what is shown.

    `title` stands in a rule above the text, `label` before it where rows are scarce (the classes `-short` and
    `-tiny` of the screen). The rule is painted here: a border's title would cost a full repaint each time.
    `whole` panels fill any height with something useful; of others all lines are painted when they are
    maximised, and scrolled.
    """

    ALLOW_MAXIMIZE = True
    BINDINGS = bindings(PANE_KEYS)

    class Chosen(Message):
        """The panel was clicked, or enter pressed on it."""

        def __init__(self, panel: "Panel") -> None:
            super().__init__()
            self.panel = panel

    def __init__(
        self,
        painter: Painter,
        *,
        id: str,
        title: Titled | str = "",
        label: Callable[[Snapshot], str] | str = "",
        whole: bool = False,
        focusable: bool = True,
    ) -> None:
        super().__init__(id=id)
        self.painter = painter
        self.snapshot: Snapshot | None = None
        self.scrolled = 0
        self.can_focus = focusable
        self._title, self._label = title, label
        self._whole = whole
        self._drawn_for, self._drawn = (0, Style()), Content("")
        self._lines: list[Strip] = []

    def show(self, snapshot: Snapshot) -> None:
        """Show another moment."""
        self.snapshot = snapshot
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        """The rule, if there is one, and the lines that are in sight."""
        if self.snapshot is None or not width or not height:
            return []
        short = not self.is_maximized and bool(self.screen.classes & {"-short", "-tiny"})
        rule = [] if short or not self._title else self._strips_of(self._rule(self.snapshot, width), width)
        label = self._label_of(self.snapshot) if short else ""
        room = height - len(rule)
        scrolls = self.is_maximized and not self._whole
        content = self.painter(self.snapshot, width - len(label), _UNBOUNDED if scrolls else room)
        if label:
            content = _labelled(label, content, f"bold {self._accent}")
        drawn_for = (width, self.visual_style)
        if drawn_for != self._drawn_for or not content.is_same(self._drawn):
            self._drawn_for, self._drawn = drawn_for, content
            self._lines = self._strips_of(content, width)
        self.scrolled = max(0, min(self.scrolled, len(self._lines) - room)) if scrolls else 0
        return rule + self._lines[self.scrolled : self.scrolled + room]

    def action_scroll_lines(self, lines: int) -> None:
        """Move the text of a maximised panel."""
        self.scrolled += lines
        self.repaint()

    def action_scroll_page(self, pages: int) -> None:
        """Move it by its height."""
        self.action_scroll_lines(pages * max(1, self.size.height - 2))

    def action_choose(self) -> None:
        """Say that it was chosen."""
        self.post_message(self.Chosen(self))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Arrows scroll a maximised panel only; elsewhere they are the screen's."""
        return self.is_maximized if action.startswith("scroll_") else True

    def on_click(self, event: Click) -> None:
        """As enter."""
        self.action_choose()

    def on_mouse_scroll_down(self) -> None:
        """Three lines on."""
        if self.is_maximized:
            self.action_scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        """Three lines back."""
        if self.is_maximized:
            self.action_scroll_lines(-3)

    @property
    def text(self) -> str:
        """All that the panel has to say, for copying."""
        return self.painter(self.snapshot, 100, _UNBOUNDED).plain if self.snapshot else ""

    @property
    def _accent(self) -> str:
        return "$accent" if self.has_focus else "$quiet"

    def _rule(self, snapshot: Snapshot, width: int) -> Content:
        room = max(0, width - 4)
        title = cut(self._title(snapshot, room) if callable(self._title) else self._title, room)
        line = "─" * (room - len(title) + 1)
        frame = "$accent" if self.has_focus else "$frame"
        return Content.assemble(("─ ", frame), (title, self._accent), (f" {line}", frame))

    def _label_of(self, snapshot: Snapshot) -> str:
        label = self._label(snapshot) if callable(self._label) else self._label
        return f"{label:<{LABEL_WIDTH}}" if label else ""

    def _strips_of(self, content: Content, width: int) -> list[Strip]:
        """Lines as painters make them, which fit; what does not is folded."""
        ground, strips = self.visual_style, []
        for line in content.split(allow_blank=True):
            length = line.cell_length
            if length > width:
                strips += Visual.to_strips(self, line, width, None, ground)
            else:
                pieces = line.render(ground, end="")
                strips.append(Strip([Segment(text, _ink(style)) for text, style in pieces if text], length))
        return strips


@lru_cache(1024)
def _ink(style: Style) -> RichStyle:
    """One object for each style: that makes strips quick to compare."""
    return style.rich_style


def _labelled(label: str, content: Content, style: str) -> Content:
    """The label before the first line, and as much air before the others."""
    first, *others = content.split("\n", allow_blank=True)
    air = " " * len(label)
    return Content("\n").join([Content.assemble((label, style), first), *(air + line for line in others)])
