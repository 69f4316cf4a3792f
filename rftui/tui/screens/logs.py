"""What the processes of a run printed: all of it, whatever its size."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.widgets import Input, Static

from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.logs import words
from rftui.tui.logs.book import LogBook
from rftui.tui.logs.desk import Command
from rftui.tui.logs.jump import HINT, jump
from rftui.tui.logs.page import Page
from rftui.tui.logs.pager import pager_command
from rftui.tui.logs.pretty import pretty
from rftui.tui.logs.query import LEVELS, Filter, query
from rftui.tui.logs.stamps import Level
from rftui.tui.screens.log_line import LogLineScreen
from rftui.tui.screens.logs_keys import LOGS_KEYS
from rftui.tui.screens.logs_reading import LogsReading
from rftui.tui.widgets.chips import Chips
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.log_view import LogView
from rftui.tui.widgets.question import Question

QUESTIONS = {"search": "search ", "include": "only lines with ", "exclude": "without ", "time": "go to "}
HINTS = {"time": HINT}
_TEXT_HINT = "text, or /regular expression/; nothing: all lines"
_LEVELS: tuple[frozenset[Level], ...] = (
    frozenset(LEVELS),
    frozenset(("error", "warning")),
    frozenset(("error",)),
)


class LogsScreen(LogsReading):
    """Paints the pages that the desk hands out, and passes on keys."""

    CSS_PATH = "logs.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = LOGS_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(LOGS_KEYS)
    AUTO_FOCUS = "#lines"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.page = Page()
        self._asking = "search"

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Chips(id="chips")
        yield LogView(id="lines")
        yield Static(id="state")
        yield Question(id="asking")
        yield Footer()

    # --- painting --------------------------------------------------------------------------------------

    def on_logs_reading_turned(self, message: LogsReading.Turned) -> None:
        """Show the page."""
        before, self.page = self.page, message.page
        if (before.query is None) != (self.page.query is None):
            self.refresh_bindings()
        self.query_one(LogView).show(self.page)
        self._paint_words()

    def on_log_view_resized(self, message: LogView.Resized) -> None:
        """As many lines as there is room for."""
        self.ask(lambda book: book.resize(message.height))

    def on_resize(self) -> None:
        """The lines above and below have another width."""
        self.call_after_refresh(self._paint_words)

    def _paint_words(self) -> None:
        width = max(20, self.size.width - 2)
        self.query_one("#head", Static).update(words.head(self.page, self.context.the_run.name))
        self.query_one(Chips).show(words.chips(self.page, width))
        self.query_one("#state", Static).update(words.state(self.page, width))

    # --- asking ----------------------------------------------------------------------------------------

    def action_ask(self, what: str) -> None:
        """Ask for a line of input."""
        self._asking = what
        shown = {
            "search": self.page.query,
            "include": self.page.filter.include,
            "exclude": self.page.filter.exclude,
        }.get(what)
        self.query_one("#state").display = False
        hint = HINTS.get(what, _TEXT_HINT)
        self.query_one(Question).ask(QUESTIONS[what], shown.text if shown else "", hint)

    @on(Input.Submitted, "#answer")
    def answer(self, event: Input.Submitted) -> None:
        """Do what was asked for, or say what is wrong with it."""
        text = event.value.strip() if self._asking == "time" else event.value
        try:
            command = self._command(text)
        except ValueError as error:
            self.query_one(Question).say_wrong(str(error))
            return
        self._stop_asking()
        self.ask(command)

    def _command(self, text: str) -> Command:
        if self._asking == "time":
            return jump(text) if text else LogBook.follow
        wanted = query(text) if text else None
        if self._asking == "search":
            return lambda book: book.find(wanted)
        if self._asking == "include":
            return lambda book: book.filter_by(replace(book.filter, include=wanted))
        return lambda book: book.filter_by(replace(book.filter, exclude=wanted))

    def _stop_asking(self) -> None:
        self.query_one(Question).display = False
        self.query_one("#state").display = True
        self.set_focus(self.query_one(LogView))

    # --- keys ------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a search there is no next match; in an answer a slash is text."""
        if action == "ask":
            return not isinstance(self.focused, Input)
        return not (action == "find" and self.page.query is None)

    def action_find(self, further: int) -> None:
        """The next match."""
        self.ask(lambda book: book.find_next(forward=further > 0))

    def action_levels(self) -> None:
        """All, errors and warnings, errors."""
        now = self.page.filter.levels
        at = _LEVELS.index(now) if now in _LEVELS else -1
        levels = _LEVELS[(at + 1) % len(_LEVELS)]
        self.ask(lambda book: book.filter_by(replace(book.filter, levels=levels)))

    def action_level(self, level: Level) -> None:
        """One level more or less."""
        self.ask(lambda book: book.filter_by(book.filter.toggled(level)))

    def action_writer(self, further: int) -> None:
        """The next writer."""
        self.ask(lambda book: book.choose_next(further))

    def action_choose(self, writer: str) -> None:
        """One writer, or all."""
        self.ask(lambda book: book.choose(writer or None))

    def action_follow(self) -> None:
        """Go to the end and follow it."""
        self.ask(LogBook.follow)

    def action_hold(self) -> None:
        """Stand still, or follow again."""
        self.ask(LogBook.hold)

    def action_move(self, lines: int) -> None:
        """The cursor up or down."""
        self.ask(lambda book: book.move(lines))

    def action_move_page(self, pages: int) -> None:
        """A screen up or down."""
        self.ask(lambda book: book.page_by(pages))

    def action_begin(self) -> None:
        """The first line."""
        self.ask(LogBook.begin)

    def action_slide(self, columns: int) -> None:
        """Lines sideways."""
        self.query_one(LogView).slide(columns)

    def action_first_column(self) -> None:
        """Lines from their beginning."""
        self.query_one(LogView).first_column()

    def action_wrap(self) -> None:
        """Fold long lines, or not."""
        self.query_one(LogView).toggle_wrap()

    def action_collapse(self) -> None:
        """Tracebacks of several ranks as one line, or each."""
        self.ask(LogBook.toggle_collapse)

    async def action_back(self) -> None:
        """Out of the question, the search, the filters, else to the live screen."""
        if self.query_one(Question).display:
            self._stop_asking()
        elif self.page.searched is not None:
            self.ask(LogBook.cancel)
        elif self.page.query is not None:
            self.find(None)
        elif not self.page.filter.open:
            self.ask(lambda book: book.filter_by(Filter()))
        else:
            await self.rft.open_area("live")

    # --- one line --------------------------------------------------------------------------------------

    def action_open(self) -> None:
        """Unfold a traceback, or show the whole line."""
        row = self.page.row
        if row is None:
            return
        if row.same:
            self.ask(lambda book: book.unfold(row.path, row.start))
            return
        number = f" line {self.page.number:,}" if self.page.number else ""
        title = f"{Path(row.path).name}{number}"
        self._whole(lambda text: self.app.push_screen(LogLineScreen(title, pretty(text))))

    def action_copy(self) -> None:
        """Copy the line."""
        self._whole(self._copied)

    def _copied(self, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify("line copied", timeout=2)

    def _whole(self, then: Callable[[str], object]) -> None:
        row = self.page.row
        if row is not None:
            self.ask_whole(row, then)

    def action_pager(self) -> None:
        """This log in the pager, at this line."""
        row = self.page.row
        if row is None:
            return
        try:
            command = pager_command(Path(row.path), row.start)
            with self.app.suspend():
                subprocess.run(command, check=False)
        except SuspendNotSupported:
            self.notify(f"there is no terminal here for a pager: {row.path}", markup=False)
        except (OSError, ValueError) as error:
            self.notify(f"$PAGER cannot be started: {error}", severity="error", markup=False)

    # --- mouse -----------------------------------------------------------------------------------------

    def on_log_view_wheeled(self, message: LogView.Wheeled) -> None:
        """The text up or down."""
        self.ask(lambda book: book.scroll(message.lines))

    def on_log_view_picked(self, message: LogView.Picked) -> None:
        """The cursor to that row; a second click opens it."""
        if message.again:
            self.action_open()
        else:
            self.ask(lambda book: book.select(message.row))

    def on_log_view_dragged(self, message: LogView.Dragged) -> None:
        """As far down as the bar was clicked."""
        self.ask(lambda book: book.at_share(message.share))
