"""Where the program opens: runs, presets, and this machine."""

import time
from dataclasses import replace
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.worker import get_current_worker

from diagnostics.hardware import Hardware
from rftui.runs.listing import RunSummary, list_runs
from rftui.runs.rundir import RunDir, runs_dir_option
from rftui.tui import home
from rftui.tui.context import Context
from rftui.tui.home import Badge, PresetRow
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.area import AreaScreen
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.option_rows import show_rows
from rftui.tui.widgets.options import Options

REFRESH_S = 5.0
MACHINE_S = 15.0
RECENT = 50
"""Runs that are listed here; all of them stand in the area of runs."""

HOME_KEYS = (
    Key("enter", "open", "open", "open the run, or the plan of the preset"),
    Key("tab", "app.focus_next", "next list", "from the runs to the presets and back", footer=False),
    Key("slash", "filter", "filter", "only runs and presets with these words", shown="/", priority=True),
    Key("r", "refresh", "refresh", "look at runs, presets and machine again"),
    Key("escape", "back", "all", "out of the filter: all runs and presets", shown="esc", footer=False),
)


class HomeScreen(AreaScreen):
    """Three panels that follow the folder, the presets and the machine, each read in a thread of its own."""

    class Listed(Message):
        """All runs, and the newest rewards of those that are listed, with the time of what told them."""

        def __init__(
            self, runs: list[RunSummary], rewards: dict[str, tuple[float, ...]], changed: dict[str, float]
        ) -> None:
            super().__init__()
            self.runs, self.rewards, self.changed = runs, rewards, changed

    class Presets(Message):
        """What is known of the presets now."""

        def __init__(self, rows: list[PresetRow]) -> None:
            super().__init__()
            self.rows = rows

    class Machine(Message):
        """What was seen of the machine; the badge comes later."""

        def __init__(self, machine: Hardware | None, badge: Badge | None) -> None:
            super().__init__()
            self.machine, self.badge = machine, badge

    CSS_PATH = "home.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = HOME_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(HOME_KEYS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._runs: list[RunSummary] = []
        self._rewards: dict[str, tuple[float, ...]] = {}
        self._changed: dict[str, float] = {}
        self._presets: list[PresetRow] = []
        self._machine: Hardware | None = None
        self._badge: Badge | None = None
        self._waited = self._listed = False
        self._filled = (False, False)
        """Whether there are runs and presets to open: what the footer offers depends on it."""

    def compose(self) -> ComposeResult:
        yield Static(self._head(), id="head")
        yield Input(id="filter", placeholder="words; esc shows all again", compact=True)
        with Horizontal(id="panels"):
            with Vertical(id="left"):
                yield Options(id="runs")
                yield Static(self._invitation(), id="empty")
            with Vertical(id="right"):
                yield Options(id="presets")
                yield Static(home.machine_lines(None, None, 80), id="machine")
        yield Footer()

    def on_mount(self) -> None:
        """Look at everything once; runs again and again, the machine now and then."""
        self.query_one("#filter").display = False
        for id, subtitle in (("runs", "enter opens"), ("presets", "enter plans"), ("machine", "")):
            panel = self.query_one(f"#{id}")
            panel.border_title, panel.border_subtitle = id, subtitle
        self.query_one("#runs").focus()
        self.look_every(REFRESH_S, self.list_runs)
        self.look_every(MACHINE_S, self.look_at_machine)
        self.plan_presets()

    def on_resize(self) -> None:
        """Lines have another width."""
        self.call_after_refresh(self._paint)

    # --- looking ---------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False)
    def list_runs(self) -> None:
        """The runs of the folder, and the curves of those that changed."""
        rewards, changed = dict(self._rewards), dict(self._changed)  # two looks may overlap
        runs = home.runs_on_first(list_runs(self.context.runs_dir))
        for run in runs[:RECENT]:
            if run.status != "unreadable" and changed.get(run.name) != run.updated:
                rewards[run.name] = home.rewards_of(RunDir(run.path))
                changed[run.name] = run.updated
        if not get_current_worker().is_cancelled:
            self.post_message(self.Listed(runs, rewards, changed))

    @work(thread=True, exclusive=True, group="machine", exit_on_error=False)
    def look_at_machine(self) -> None:
        """GPUs, memory and disk; the doctor's fast checks the first time."""
        from diagnostics.hardware import detect

        machine = detect(folder=self.context.runs_dir)
        self.post_message(self.Machine(machine, self._badge))
        if self._badge is None and not get_current_worker().is_cancelled:
            self.post_message(self.Machine(machine, home.doctor_badge()))

    @work(thread=True, exclusive=True, group="presets", exit_on_error=False)
    def plan_presets(self) -> None:
        """Names at once, then one plan after another."""
        rows = [replace(row, planning=not row.needs and not row.problem) for row in home.presets_known()]
        self.post_message(self.Presets(list(rows)))
        for place, row in enumerate(rows):
            if get_current_worker().is_cancelled:
                return
            if row.planning:
                rows[place] = home.planned(row)
                self.post_message(self.Presets(list(rows)))

    # --- painting --------------------------------------------------------------------------------------

    def on_home_screen_listed(self, message: "HomeScreen.Listed") -> None:
        """Show the runs."""
        self._runs, self._rewards, self._changed = message.runs, message.rewards, message.changed
        if not message.runs and not self._listed:
            self.query_one("#presets").focus()  # there is nothing to choose among the runs
        self._listed = True
        self._paint()

    def on_home_screen_presets(self, message: "HomeScreen.Presets") -> None:
        """Show the presets."""
        self._presets = message.rows
        self._paint()

    def on_home_screen_machine(self, message: "HomeScreen.Machine") -> None:
        """Show the machine."""
        self._machine, self._badge = message.machine, message.badge or self._badge
        self._paint()

    def _paint(self) -> None:
        self.set_class(self._listed and not self._runs, "-empty")
        _show(self.query_one("#head", Static), self._head())
        runs, presets = self.query_one("#runs", OptionList), self.query_one("#presets", OptionList)
        laid_out = presets.size.width and (runs.size.width or not self._runs)
        if not laid_out and not self._waited:  # nobody knows yet how long a line may be
            self._waited = True
            self.call_after_refresh(self._paint)
            return
        self._waited = False
        words = self.query_one("#filter", Input).value
        self._paint_runs(runs, words)
        self._paint_presets(presets, words)
        machine = self.query_one("#machine", Static)
        _show(machine, home.machine_lines(self._machine, self._badge, max(30, machine.size.width)))
        filled = (bool(self._runs), bool(self._presets))
        if filled != self._filled:  # a new footer takes longer than all the rest
            self._filled = filled
            self.refresh_bindings()

    def _paint_runs(self, options: OptionList, words: str) -> None:
        now, width = time.time(), _line_cells(options)
        found = home.runs_with(self._runs, words)
        lines = {
            run.name: home.run_line(run, self._rewards.get(run.name, ()), now, width)
            for run in found[:RECENT]
        }
        show_rows(options, lines)
        options.border_title = f"runs · {len(found)} of {len(self._runs)}" if words else "runs"

    def _paint_presets(self, options: OptionList, words: str) -> None:
        found = home.presets_with(self._presets, words)
        show_rows(options, *home.preset_lines(found, _line_cells(options)))
        options.border_title = f"presets · {len(found)} of {len(self._presets)}" if words else "presets"

    def _head(self) -> Content:
        live = sum(map(home.is_on, self._runs))
        count = f"{len(self._runs)} run" + "s" * (len(self._runs) != 1)
        going = f", {live} running" if live else ""
        going += f", {RECENT} of them here" if len(self._runs) > RECENT else ""
        return Content.assemble(
            ("rft ", "bold $primary"),
            ("▸ ", "$quiet"),
            ("home", "bold"),
            (f"   {count}{going} in {self.context.runs_dir}", "$quiet"),
        )

    def _invitation(self) -> Content:
        return Content.assemble(
            (f"No runs in {self.context.runs_dir} yet.\n\n", "bold"),
            "Pick a preset: ",
            ("tab", "bold $primary"),
            ", then ",
            ("enter", "bold $primary"),
            "\nOr from a shell: ",
            (f"rft launch quickstart{runs_dir_option(self.context.runs_dir)}", "bold $primary"),
        )

    # --- keys ------------------------------------------------------------------------------------------

    @on(OptionList.OptionSelected, "#runs")
    async def open_run(self, event: OptionList.OptionSelected) -> None:
        """Open the chosen run."""
        run = next((run for run in self._runs if run.name == event.option_id), None)
        if run is not None:
            await self.rft.open_run(RunDir(run.path))

    @on(OptionList.OptionSelected, "#presets")
    async def open_preset(self, event: OptionList.OptionSelected) -> None:
        """Open the plan of the chosen preset."""
        if event.option_id is not None:
            await self.rft.open_plan(event.option_id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing to open in an empty list; in the filter a slash is text."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action != "open":
            return True
        focused = self.focused
        return isinstance(focused, OptionList) and focused.option_count > 0

    def action_open(self) -> None:
        """Open what is under the cursor."""
        if isinstance(self.focused, OptionList):
            self.focused.action_select()

    def action_filter(self) -> None:
        """Ask for words. The focus is there at once: what is typed behind the slash is text already."""
        box = self.query_one("#filter", Input)
        box.display = True
        self.set_focus(box)

    @on(Input.Changed, "#filter")
    def narrow(self) -> None:
        """Only what has these words."""
        self._paint()

    @on(Input.Submitted, "#filter")
    def narrowed(self) -> None:
        """Go on in the list where something was found."""
        found = home.runs_with(self._runs, self.query_one("#filter", Input).value)
        self.query_one("#runs" if found else "#presets").focus()

    def action_back(self) -> None:
        """Show all again."""
        box = self.query_one("#filter", Input)
        if box.display:
            box.value, box.display = "", False
            self.query_one("#runs" if self._runs else "#presets").focus()

    def action_refresh(self) -> None:
        """Look at everything again."""
        self._badge = None
        self.list_runs()
        self.look_at_machine()
        self.plan_presets()


def _line_cells(options: OptionList) -> int:
    """What a line may have beside two cells of padding and one of a scrollbar, which may come."""
    return max(30, options.size.width - 3)


def _show(text: Static, content: Content) -> None:
    """Show other words, if they are others: all of the screen is laid out for them."""
    if not (isinstance(text.content, Content) and content.is_same(text.content)):
        text.update(content)
