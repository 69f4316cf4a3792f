"""All runs of a folder; the door to each."""

import time
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from rftui.runs.listing import RunSummary, list_runs
from rftui.runs.rundir import RunDir
from rftui.tui.keys import PICKER_KEYS, Key, bindings
from rftui.tui.panels import status_word
from rftui.tui.text import clean_line, duration, number

REFRESH_S = 2.0
COLUMNS = ("run", "status", "step", "reward", "age")


class PickerScreen(Screen[None]):
    """A table that follows the folder; Enter opens a run."""

    class Listed(Message):
        """The runs found in the folder."""

        def __init__(self, runs: list[RunSummary]) -> None:
            super().__init__()
            self.runs = runs

    CSS_PATH = "picker.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = PICKER_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(PICKER_KEYS[1:])

    def __init__(self, runs_dir: Path) -> None:
        super().__init__()
        self.runs_dir = runs_dir
        self._rows: dict[str, tuple[Content | str, ...]] = {}

    def compose(self) -> ComposeResult:
        yield Static(self._head("looking for runs"), id="head")
        yield DataTable(id="runs", cursor_type="row", zebra_stripes=False)
        yield Static(self._invitation(), id="empty")
        yield Footer()

    def on_mount(self) -> None:
        """List the runs now and then again and again."""
        table = self.query_one(DataTable)
        for name in COLUMNS:
            table.add_column(name, key=name)
        table.focus()
        self.list_runs()
        self.set_interval(REFRESH_S, self.list_runs)

    @work(thread=True, exclusive=True, exit_on_error=False)
    def list_runs(self) -> None:
        """Read the folder in a thread."""
        runs = list_runs(self.runs_dir)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Listed(runs))

    def on_picker_screen_listed(self, message: "PickerScreen.Listed") -> None:
        """Show the runs, newest first; rows that did not change are left alone."""
        count = len(message.runs)
        self.query_one("#head", Static).update(self._head(f"{count} run" + "s" * (count != 1)))
        self.set_class(not message.runs, "-empty")
        now = time.time()
        rows = {run.name: _row(run, now) for run in message.runs}
        if list(rows) != list(self._rows):
            self._refill(rows)
        else:
            self._update(rows)
        self._rows = rows

    def _refill(self, rows: dict[str, tuple[Content | str, ...]]) -> None:
        """Other runs than before: all rows anew, with the cursor on the same run."""
        table = self.query_one(DataTable)
        names = list(self._rows)
        chosen = names[table.cursor_row] if table.cursor_row < len(names) else ""
        table.clear()
        for name, cells in rows.items():
            table.add_row(*cells, key=name)
        if chosen in rows:
            table.move_cursor(row=list(rows).index(chosen))

    def _update(self, rows: dict[str, tuple[Content | str, ...]]) -> None:
        table = self.query_one(DataTable)
        for name, cells in rows.items():
            for column, new, old in zip(COLUMNS, cells, self._rows[name], strict=True):
                if str(new) != str(old):
                    table.update_cell(name, column, new, update_width=True)

    @on(DataTable.RowSelected)
    def open(self, event: DataTable.RowSelected) -> None:
        """Open the chosen run."""
        if event.row_key.value is not None:
            self.app.switch_screen(self._live(event.row_key.value))

    def _live(self, name: str) -> Screen[None]:
        from rftui.tui.screens.live import LiveScreen

        return LiveScreen(RunDir(self.runs_dir / name))

    def action_refresh(self) -> None:
        """Read the folder again."""
        self.list_runs()

    def _head(self, found: str) -> Content:
        return Content.assemble(
            ("rft ", "bold $primary"),
            ("▸ ", "$quiet"),
            ("runs", "bold"),
            (f"   {found} in {self.runs_dir}", "$quiet"),
        )

    def _invitation(self) -> Content:
        return Content.assemble(
            (f"No runs in {self.runs_dir} yet.\n\n", "bold"),
            "Start one:            ", ("rft launch quickstart\n", "bold $primary"),
            "Look somewhere else:  ", ("rftui --runs-dir DIR", "bold $primary"),
        )  # fmt: skip


def _row(run: RunSummary, now: float) -> tuple[Content | str, ...]:
    """The cells of one run."""
    step = f"{run.step}/{run.total_steps}" if run.total_steps else f"{run.step}"
    return (
        Content(clean_line(run.name)),
        status_word(run.status),
        step,
        number(run.reward) if run.reward is not None else "",
        f"{duration(max(0.0, now - run.updated))} ago",
    )
