"""The screen of logs' thread: a desk that reads the files, obeys commands and hands out pages."""

from collections.abc import Callable
from pathlib import Path

from textual import work
from textual.message import Message

from engine.findings import FindingsError
from rftui.tui.context import Context
from rftui.tui.logs.book import LogBook
from rftui.tui.logs.desk import Command, Desk
from rftui.tui.logs.page import Page, Row
from rftui.tui.logs.played import Played
from rftui.tui.logs.query import Query
from rftui.tui.logs.stamps import naive
from rftui.tui.notices import LogPlace
from rftui.tui.screens.area import AreaScreen


class LogsReading(AreaScreen):
    """Knows the desk; subclasses show what is turned up, and pass on keys."""

    class Turned(Message):
        """Another page."""

        def __init__(self, page: Page) -> None:
            super().__init__()
            self.page = page

    class Whole(Message):
        """A whole line that was asked for, and what for."""

        def __init__(self, text: str, then: Callable[[str], object]) -> None:
            super().__init__()
            self.text, self.then = text, then

    class Failed(Message):
        """A command that went wrong."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        rest_s = max(context.settings.refresh_s, 1.0 if context.settings.slow else 0.0)
        self._desk = Desk(self._open, self._turn, self._tell, rest_s)

    def on_mount(self) -> None:
        """Start reading."""
        self.read()

    def on_unmount(self) -> None:
        """Let the thread go."""
        self._desk.close()

    def on_screen_suspend(self) -> None:
        """Nobody looks: nothing is read."""
        self._desk.sleep(True)

    def on_screen_resume(self) -> None:
        """Read on, at once."""
        self._desk.sleep(False)

    def show_place(self, place: LogPlace) -> None:
        """Go there; what hides that line is taken off."""
        if place.file:
            self.ask(lambda book: book.show_line(Path(place.file), place.line))
        else:
            self.ask(lambda book: book.show_time(f"r{place.rank}", naive(place.time)))

    def find(self, wanted: Query | None) -> None:
        """Search for it, or drop the search."""
        self.ask(lambda book: book.find(wanted))

    def ask(self, command: Command) -> None:
        """Have something done to the book of logs."""
        self._desk.ask(command)

    def ask_whole(self, row: Row, then: Callable[[str], object]) -> None:
        """Have something done with a whole line."""
        self.ask(lambda book: self.post_message(self.Whole(book.whole(row), then)))

    def on_logs_reading_whole(self, message: "LogsReading.Whole") -> None:
        """Do with the line what it was asked for."""
        message.then(message.text)

    def on_logs_reading_failed(self, message: "LogsReading.Failed") -> None:
        """Say it; the desk goes on."""
        self.notify(message.words, severity="error", markup=False)

    @work(thread=True, exit_on_error=False)
    def read(self) -> None:
        """Read until the screen is left."""
        self._desk.run()

    def _open(self) -> LogBook:
        run = self.context.the_run
        try:
            info = run.read_info()
            born = info.started or info.created
        except (FindingsError, OSError):
            born = 0.0
        return LogBook(run.logs_dir, born, self._played())

    def _played(self) -> Played | None:
        if self.context.clock is None:
            return None
        from rftui.runs.replay import StepTimes

        return Played(self.context.clock, StepTimes(self.context.the_run))

    def _turn(self, page: Page) -> None:
        if self.is_attached:
            self.post_message(self.Turned(page))

    def _tell(self, words: str) -> None:
        if self.is_attached:
            self.post_message(self.Failed(words))
