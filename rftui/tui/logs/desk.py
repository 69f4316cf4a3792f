"""The thread behind the screen of logs: it obeys commands, looks for news, and hands out pages."""

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from rftui.tui.logs.book import LogBook
from rftui.tui.logs.page import Page

Command = Callable[[LogBook], object]

SLICE_S = 0.01
START_S = 0.15
"""After the first page, so that it is painted before anything is counted."""
BREATH_S = 0.002
"""Between slices of work, so that the screen has its turn."""
PAGES_APART_S = 0.1
"""Between pages that nobody asked for."""
SOON_S = 0.1


class Desk:
    """`run` is the thread, the rest may be called from another one. `rest_s`: between looks when idle."""

    def __init__(self, book: Callable[[], LogBook], show: Callable[[Page], object], rest_s: float) -> None:
        self._book = book
        self._show = show
        self._rest_s = rest_s
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._wake = threading.Event()
        self._closed = False
        self._asleep = False

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
        pause, look_at, shown_at = SOON_S, 0.0, 0.0
        dirty, work_at = True, time.monotonic() + START_S
        while not self._closed:
            self._wake.clear()
            asked = self._obey(book)
            if self._asleep and not asked:
                self._wake.wait()
                look_at = 0.0
                continue
            if time.monotonic() >= look_at:
                grew = book.look()
                dirty = dirty or grew
                pause = SOON_S if grew else min(self._rest_s, pause * 1.5)
                look_at = time.monotonic() + pause
            if asked or (dirty and time.monotonic() - shown_at >= PAGES_APART_S):
                self._show(book.page())
                shown_at, dirty = time.monotonic(), False
            if time.monotonic() >= work_at and book.work(SLICE_S):
                dirty = True
                self._wake.wait(BREATH_S)
            elif dirty:
                self._wake.wait(max(0.0, shown_at + PAGES_APART_S - time.monotonic()))
            else:
                self._wake.wait(max(0.0, max(look_at, work_at) - time.monotonic()))

    def _obey(self, book: LogBook) -> bool:
        obeyed = False
        while True:
            try:
                command = self._commands.get_nowait()
            except Empty:
                return obeyed
            command(book)
            obeyed = True
