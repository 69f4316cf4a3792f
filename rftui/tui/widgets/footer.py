"""The keys of the screen in its last row, painted as one line: Textual's footer is a widget for each key."""

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.events import Leave, MouseDown, MouseMove, MouseScrollDown, MouseScrollUp
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

_KEY, _WORDS = "footer--key", "footer--words"
_SCROLL = 4
"""Columns that the wheel moves a line which is longer than the screen is wide."""


class Piece(NamedTuple):
    """A stretch of the line. `key`: what a click presses; `off`: it would do nothing now."""

    text: str
    style: str
    key: str = ""
    tooltip: str = ""
    off: bool = False


GAP = Piece(" ", "")


class Footer(Widget, can_focus=False):
    """Keys that are bound now and shown in a footer, each with what it does."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {_KEY, _WORDS}
    DEFAULT_CSS = """
    Footer {
        dock: bottom;
        height: 1;
        color: $footer-foreground;
        background: $footer-background;
        .footer--key {
            color: $footer-key-foreground;
            background: $footer-key-background;
            text-style: bold;
        }
        .footer--words {
            color: $footer-description-foreground;
            background: $footer-description-background;
        }
    }
    """

    def __init__(self, *, compact: bool = False) -> None:
        """`compact`: one space between keys, for screens with many."""
        super().__init__()
        self._compact = compact
        self._pieces: tuple[Piece, ...] = ()
        self._from = 0
        """Column of the line at the left edge."""

    def on_mount(self) -> None:
        """Follow what is bound."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def on_unmount(self) -> None:
        """No more."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def on_resize(self) -> None:
        """No more of the line is out of sight than has to be."""
        self._scroll(0)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if not self.app.app_focus or not self.is_attached:  # without the focus, what it bound is missing
            return
        shown = [
            (binding, self.app.get_key_display(binding), enabled, tooltip)
            for _, binding, enabled, tooltip in screen.active_bindings.values()
            if binding.show
        ]
        pieces = tuple(_pieces(shown, self._compact))
        if pieces != self._pieces:
            self._pieces = pieces
            self._scroll(0)

    def render_line(self, y: int) -> Strip:
        """The line, from the column that the wheel has moved it to."""
        ground, width = self.rich_style.background_style, self.size.width
        styles = {name: self.get_component_rich_style(name) for name in (_KEY, _WORDS)} | {GAP.style: ground}
        off = Style(dim=True)
        line = Strip(
            Segment(piece.text, styles[piece.style] + off if piece.off else styles[piece.style])
            for piece in self._pieces
        )
        return line.crop(self._from, self._from + width).adjust_cell_length(width, ground)

    def on_mouse_down(self, event: MouseDown) -> None:
        """A click presses the key."""
        piece = self._at(event.x)
        if piece and piece.off:
            self.app.bell()
        elif piece and piece.key:
            self.app.simulate_key(piece.key)

    def on_mouse_move(self, event: MouseMove) -> None:
        """The tooltip is of the key under the mouse."""
        piece = self._at(event.x)
        self.tooltip = piece.tooltip or None if piece else None

    def on_leave(self, event: Leave) -> None:
        """Nothing is under the mouse."""
        self.tooltip = None

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Keys that are out of sight."""
        self._scroll(_SCROLL)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Back."""
        self._scroll(-_SCROLL)

    def _scroll(self, columns: int) -> None:
        length = Strip([Segment(piece.text) for piece in self._pieces]).cell_length
        self._from = max(0, min(self._from + columns, length - self.size.width))
        self.refresh()

    def _at(self, x: int) -> Piece | None:
        """What stands in a column of the screen."""
        right = -self._from
        for piece in self._pieces:
            right += Segment(piece.text).cell_length
            if x < right:
                return piece
        return None


Shown = tuple[Binding, str, bool, str]
"""A binding, its key as written for people, whether it would do something, and what."""


def _pieces(shown: list[Shown], compact: bool) -> Iterator[Piece]:
    """The line: an action once, keys of a group together before the name of the group."""
    first = {each[0].action: each for each in reversed(shown)}
    once = list({each[0].action: first[each[0].action] for each in shown}.values())
    for group, members in groupby(once, lambda each: each[0].group):
        together = list(members)
        if group is not None and len(together) > 1:
            yield GAP
            for binding, display, enabled, tooltip in together:
                yield Piece(display, _KEY, binding.key, tooltip or binding.description, not enabled)
            yield from (GAP, Piece(group.description, _WORDS), GAP)
            continue
        for binding, display, enabled, tooltip in together:
            of_key = (binding.key, tooltip, not enabled)
            yield Piece(display if compact else f" {display} ", _KEY, *of_key)
            yield Piece(f" {binding.description}" if compact else f"{binding.description} ", _WORDS, *of_key)
            if compact:
                yield GAP
