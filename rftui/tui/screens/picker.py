"""All runs of a folder; the door to each."""

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from rftui.runs.listing import RunSummary, list_runs
from rftui.runs.rundir import RunDir
from rftui.tui.context import Context
from rftui.tui.keys import PICKER_KEYS, Key, bindings
from rftui.tui.panels import status_word
from rftui.tui.screens.area import AreaScreen
from rftui.tui.text import clean_line, duration, number

REFRESH_S = 2.0
OTHER_COLUMNS = 50
"""Cells of a line that are not the run's name."""


class PickerScreen(AreaScreen):
    """A list that follows the folder, newest run first; Enter opens a run."""

    class Listed(Message):
        """The runs found in the folder."""

        def __init__(self, runs: list[RunSummary]) -> None:
            super().__init__()
            self.runs = runs

    CSS_PATH = "picker.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = PICKER_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(PICKER_KEYS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.runs_dir = context.runs_dir
        self._rows: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        yield Static(self._head("looking for runs"), id="head")
        yield Static(id="columns")
        yield OptionList(id="runs")
        yield Static(self._invitation(), id="empty")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """List the runs now and then again and again."""
        self.query_one(OptionList).focus()
        self.list_runs()
        self.set_interval(REFRESH_S, self.list_runs)

    def on_resize(self) -> None:
        """Names have another width."""
        self.list_runs()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def list_runs(self) -> None:
        """Read the folder in a thread."""
        runs = list_runs(self.runs_dir)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Listed(runs))

    def on_picker_screen_listed(self, message: "PickerScreen.Listed") -> None:
        """Show the runs; rows that did not change are left alone."""
        count = len(message.runs)
        self.query_one("#head", Static).update(self._head(f"{count} run" + "s" * (count != 1)))
        self.set_class(not message.runs, "-empty")
        now = time.time()
        room = max(12, self.size.width - OTHER_COLUMNS)
        heading = _columns(room, "run", Content("status"), "step", "reward", "age")
        self.query_one("#columns", Static).update(heading)
        rows = {run.name: _row(room, run, now) for run in message.runs}
        options = self.query_one(OptionList)
        if list(rows) != list(self._rows):
            chosen = options.highlighted_option
            options.set_options([Option(row, id=name) for name, row in rows.items()])
            names = list(rows)
            options.highlighted = (
                names.index(chosen.id) if chosen and chosen.id in names else 0 if names else None
            )
        else:
            for name, row in rows.items():
                if not row.is_same(self._rows[name]):
                    options.replace_option_prompt(name, row)
        if bool(rows) != bool(self._rows):
            self.call_after_refresh(self.refresh_bindings)
        self._rows = rows

    @on(OptionList.OptionSelected)
    async def choose(self, event: OptionList.OptionSelected) -> None:
        """Open the chosen run."""
        if event.option_id is not None:
            await self.rft.open_run(RunDir(self.runs_dir / event.option_id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to open in an empty list."""
        return bool(self._rows) if action == "open" else True

    def action_open(self) -> None:
        """Open the run under the cursor."""
        self.query_one(OptionList).action_select()

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
            "Start one:             ",
            ("rft launch quickstart\n", "bold $primary"),
            "Look somewhere else:   ",
            ("rftui --runs-dir DIR ", "bold $primary"),
        )


def _columns(room: int, name: str, status: Content, step: str, reward: str, age: str) -> Content:
    """One line of the table."""
    if len(name) > room:
        name = name[: room - 1] + "…"
    gap = " " * max(1, 14 - status.cell_length)
    return Content.assemble(f"{name:<{room}} ", status, gap, f"{step:>11}  {reward:>7}  {age:>8}")


def _row(room: int, run: RunSummary, now: float) -> Content:
    step = f"{run.step}/{run.total_steps}" if run.total_steps else f"{run.step}"
    reward = number(run.reward) if run.reward is not None else ""
    age = duration(max(0.0, now - run.updated))
    return _columns(room, clean_line(run.name), status_word(run.status), step, reward, age)
