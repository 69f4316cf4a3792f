"""A screen with a thread of its own that reads: while the screen is there, and at rest while it is hidden."""

import threading
import time

from textual.worker import Worker

from rftui.tui.context import Context
from rftui.tui.screens.area import AreaScreen


class ReadingScreen(AreaScreen):
    """Subclasses read in `read`, a thread worker: `while self.wanted_now(): …; self.rest(until)`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._wake = threading.Event()
        self._in_sight = threading.Event()
        self._left = threading.Event()

    def read(self) -> Worker[None]:
        """Read until the screen is left."""
        raise NotImplementedError

    def wanted_now(self) -> bool:
        """For the thread: wait until the screen is in sight; whether it is still there."""
        self._in_sight.wait()
        self._wake.clear()
        return not self._left.is_set()

    def rest(self, until: float) -> None:
        """For the thread: wait until then (`time.monotonic`), or until it is woken."""
        self._wake.wait(max(0.0, until - time.monotonic()))

    def wake(self) -> None:
        """Have the thread look now."""
        self._wake.set()

    def on_mount(self) -> None:
        """Start reading."""
        self._in_sight.set()
        self.read()

    def on_unmount(self) -> None:
        """Let the thread go."""
        for event in (self._left, self._in_sight, self._wake):
            event.set()

    def on_screen_suspend(self) -> None:
        """Out of sight nothing is read."""
        self._in_sight.clear()

    def on_screen_resume(self) -> None:
        """Catch up."""
        self._in_sight.set()
        self.wake()
