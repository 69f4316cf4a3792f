"""The thread behind the screen of logs: it obeys commands, looks for news, and hands out pages."""

import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from rftui.tui.logs.book import LogBook
from rftui.tui.logs.page import Page
from rftui.tui.logs.query import TooSlowError

Command = Callable[[LogBook], object]

SLICE_S = 0.03
START_S = 0.15
"""After the first page, so that it is painted before anything is counted."""
BREATH_S = 0.002
"""Between slices of work, so that the screen has its turn."""
PAGES_APART_S = 0.1
"""Between pages that nobody asked for."""
SOON_S = 0.1


class Desk:
    """`run` is the thread, the rest may be called from another one.

    `show` gets pages, `tell` what went wrong; `rest_s`: between looks when idle.
    """

    def __init__(
        self,
        book: Callable[[], LogBook],
        show: Callable[[Page], object],
        tell: Callable[[str], object],
        rest_s: float,
    ) -> None:
        self._book = book
        self._show = show
        self._tell = tell
        self._rest_s = rest_s
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._wake = threading.Event()
        self._closed = False
        self._asleep = False
        self._pause, self._look_at, self._work_at, self._shown_at = SOON_S, 0.0, 0.0, 0.0
        self._dirty = True

    def ask(self, command: Command) -> None:
        """Have something done to the book, and be shown what comes of it."""
        self._commands.put(command)
        self._wake.set()

    def sleep(self, asleep: bool) -> None:
        """Look at nothing, since nobody looks here; or go on."""
        self._asleep = asleep
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wake.set()

    def run(self) -> None:
        """Work until it is closed."""
        book = self._book()
        self._work_at = time.monotonic() + START_S
        while not self._closed:
            self._wake.clear()
            try:
                self._turn(book)
            except TooSlowError as slow:
                self.ask(partial(LogBook.give_up, wanted=slow.wanted))

    def _turn(self, book: LogBook) -> None:
        """Obey, look, show and work for a moment; then wait until there is more to do."""
        asked = self._obey(book)
        if self._asleep and not asked:
            self._wake.wait()
            self._look_at = 0.0
            return
        if time.monotonic() >= self._look_at:
            grew = book.look()
            self._dirty = self._dirty or grew
            self._pause = SOON_S if grew else min(self._rest_s, self._pause * 1.5)
            self._look_at = time.monotonic() + self._pause
        if asked or (self._dirty and time.monotonic() - self._shown_at >= PAGES_APART_S):
            self._show(book.page())
            self._shown_at, self._dirty = time.monotonic(), False
        if time.monotonic() >= self._work_at and book.work(SLICE_S):
            self._dirty = True
            self._wake.wait(BREATH_S)
        elif self._dirty:
            self._wake.wait(max(0.0, self._shown_at + PAGES_APART_S - time.monotonic()))
        else:
            self._wake.wait(max(0.0, max(self._look_at, self._work_at) - time.monotonic()))

    def _obey(self, book: LogBook) -> bool:
        """Do all that was asked for. What fails is told; nothing else may suffer from it."""
        obeyed = False
        while True:
            try:
                command = self._commands.get_nowait()
            except Empty:
                return obeyed
            obeyed = True
            try:
                command(book)
            except TooSlowError:
                raise
            except Exception as error:
                self._tell(f"that went wrong: {error!r}")
