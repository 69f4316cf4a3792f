"""A widget that shows what a pure function makes of the latest snapshot at its own size."""

from collections.abc import Callable

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual

from rftui.tui.keys import bindings
from rftui.tui.panels import Painter
from rftui.tui.screens.live_keys import PANE_KEYS
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.painted import Painted

LABEL_WIDTH = 6
_UNBOUNDED = 1000


class Panel(Painted):
    """Repaints what differs from what is shown. `title` says what stands in its frame, `label` what stands
    before the text where there is no frame.

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
        title: Callable[[Snapshot, int], str] | str = "",
        label: Callable[[Snapshot], str] | str = "",
        whole: bool = False,
        focusable: bool = True,
    ) -> None:
        super().__init__(id=id)
        self.painter = painter
        self.snapshot: Snapshot | None = None
        self.scrolled = 0
        self.can_focus = focusable
        self._title = title
        self._label = label
        self._whole = whole
        self._lines = 0
        if isinstance(title, str):
            self.border_title = title or None

    def show(self, snapshot: Snapshot) -> None:
        """Show another moment."""
        self.snapshot = snapshot
        if callable(self._title):
            title = self._title(snapshot, self.size.width - 2)
            if title != self.border_title:
                self.border_title = title
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        """The lines that are in sight."""
        if self.snapshot is None or not width or not height:
            return []
        scrolls = self.is_maximized and not self._whole
        label = self._label(self.snapshot) if callable(self._label) else self._label
        label = "" if self.styles.border_top[0] or not label else f"{label:<{LABEL_WIDTH}}"
        content = self.painter(self.snapshot, width - len(label), _UNBOUNDED if scrolls else height)
        if label:
            content = _labelled(label, content, "bold $accent" if self.has_focus else "bold $quiet")
        if not scrolls:
            self.scrolled = 0
        lines = Visual.to_strips(self, content, width, None, self.visual_style)
        self._lines = len(lines)
        self.scrolled = max(0, min(self.scrolled, self._lines - height))
        return lines[self.scrolled : self.scrolled + height]

    def action_scroll_lines(self, lines: int) -> None:
        """Move the text of a maximised panel."""
        self.scrolled = max(0, min(self.scrolled + lines, self._lines - self.size.height))
        self.repaint()

    def action_scroll_page(self, pages: int) -> None:
        """Move it by its height."""
        self.action_scroll_lines(pages * max(1, self.size.height - 1))

    def action_choose(self) -> None:
        """Say that it was chosen."""
        self.post_message(self.Chosen(self))

    def on_click(self, event: Click) -> None:
        """As enter."""
        self.action_choose()

    def on_mouse_scroll_down(self) -> None:
        """Three lines on."""
        self.action_scroll_lines(3)

    def on_mouse_scroll_up(self) -> None:
        """Three lines back."""
        self.action_scroll_lines(-3)


def _labelled(label: str, content: Content, style: str) -> Content:
    """The label before the first line, and as much air before the others."""
    first, *others = content.split("\n", allow_blank=True)
    air = " " * len(label)
    return Content("\n").join([Content.assemble((label, style), first), *(air + line for line in others)])


def text_of(panel: Panel) -> Content:
    """All that a panel has to say, for copying."""
    if panel.snapshot is None:
        return Content("")
    return panel.painter(panel.snapshot, 100, _UNBOUNDED)
