"""What the screens of all areas have in common."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from rftui.tui.context import Context
from rftui.tui.keys import Key

if TYPE_CHECKING:
    from rftui.tui.app import RftuiApp


WIDTHS = [(0, "-xs"), (100, "-sm"), (120, "-md"), (200, "-lg")]
HEIGHTS = [(0, "-short"), (30, "-tall"), (56, "-huge")]
"""Classes that a screen has from this many columns and rows on."""
TOLD_S = 60.0
"""Seconds that an error stays in sight which nobody foresaw."""
TO_DO = "What is shown may stay as it is: leave with q, and start again."


class AreaScreen(Screen[None]):
    """A screen that is told its context, has its keys as data, and knows how wide and high it is."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    CHANGING: ClassVar[tuple[str, ...]] = ()
    """Actions that start, change or write something: readonly switches them off."""
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._looks: list[tuple[Timer, Callable[[], object]]] = []
        self._told: set[str] = set()

    def look_every(self, seconds: float, look: Callable[[], Worker[None]]) -> None:
        """Start `look` now and again and again, but not while another screen hides this one.

        One that takes longer than that is waited for: a folder that is slow is seen late, rather than never.
        """
        last = look()

        def again() -> None:
            nonlocal last
            if last.is_finished:
                last = look()

        self._looks.append((self.set_interval(seconds, again), again))

    def on_screen_suspend(self) -> None:
        """Another screen is shown: nothing is looked at."""
        for timer, _ in self._looks:
            timer.pause()

    def on_screen_resume(self) -> None:
        """Look again, at once."""
        for timer, look in self._looks:
            timer.resume()
            look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        return not (action in self.CHANGING and self.context.settings.readonly)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Something went wrong in a way nobody foresaw: say so, once, rather than stand still."""
        if event.state is WorkerState.ERROR:
            said = f"{event.worker.name} has stopped: {event.worker.error!r}. {TO_DO}"
            if said not in self._told:
                self._told.add(said)
                self.notify(said, severity="error", timeout=TOLD_S, markup=False)

    @property
    def rft(self) -> "RftuiApp":
        """The program, which opens areas, runs and plans."""
        return cast("RftuiApp", self.app)
