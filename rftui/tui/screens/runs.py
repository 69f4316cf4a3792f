"""All runs of a folder: sorted, filtered, annotated, marked for a comparison; the door to each."""

import time
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from rftui.runs.rundir import RunDir, runs_dir_option
from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.runs_table import columns, written
from rftui.tui.runs_table.about import about
from rftui.tui.runs_table.columns import Order
from rftui.tui.runs_table.grid import GRID_KEYS, RunsGrid
from rftui.tui.runs_table.query import EXAMPLE, QueryError, parse
from rftui.tui.runs_table.reading import RunsReader
from rftui.tui.runs_table.row import Row
from rftui.tui.screens.export_actions import ExportActions
from rftui.tui.screens.runs_actions import RunActions
from rftui.tui.screens.runs_keys import RUNS_KEYS
from rftui.tui.widgets.footer import Footer

REFRESH_S = 2.0
MOST_MARKED = 8


class RunsScreen(RunActions, ExportActions):
    """Follows the folder, which a thread reads; handlers only sort, filter and paint."""

    class Listed(Message):
        """The runs known so far; `complete` when all of them were read."""

        def __init__(self, rows: list[Row], complete: bool) -> None:
            super().__init__()
            self.rows, self.complete = rows, complete

    CSS_PATH = "runs.tcss"
    AUTO_FOCUS = "#runs"
    CHANGING = ("note", "tags", "stop", "resume", "export", "write", "delete")
    KEYS: ClassVar[tuple[Key, ...]] = (*RUNS_KEYS, *GRID_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(RUNS_KEYS)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows: list[Row] = []
        self.complete = False
        """Whether the whole folder was read."""
        self.marked: dict[str, None] = {}
        """Names in the order in which they were marked."""
        self.order = Order()
        self.query_text = ""
        self._keep = parse("")
        self._keys_offered: tuple[bool, ...] = ()
        self._reader = RunsReader(context.runs_dir)

    def compose(self) -> ComposeResult:
        yield Static(self._head(), id="head")
        yield Input(placeholder=EXAMPLE, id="filter", disabled=True)
        yield Static(id="wrong", markup=False)
        yield RunsGrid(id="runs")
        yield Static(self._invitation(), id="empty")
        yield Static(id="about")
        yield Static(id="doing", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Look now and again and again."""
        self.look_every(REFRESH_S, self.look)

    @property
    def grid(self) -> RunsGrid:
        return self.query_one("#runs", RunsGrid)

    @property
    def chosen(self) -> Row | None:
        """The run under the cursor."""
        return self.grid.row

    # --- reading ---------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="read", exit_on_error=False)
    def look(self) -> None:
        """Read what is new in the folder."""
        worker = get_current_worker()
        with self._reader.lock:
            for rows, complete in self._reader.look():
                if worker.is_cancelled:
                    return
                self.post_message(self.Listed(rows, complete))

    def on_runs_screen_listed(self, message: "RunsScreen.Listed") -> None:
        """Show them."""
        self.rows = message.rows
        self.complete = self.complete or message.complete
        known = {row.name for row in self.rows}
        if message.complete:
            self.marked = {name: None for name in self.marked if name in known}
        self._paint()

    # --- painting --------------------------------------------------------------------------------------

    def _paint(self) -> None:
        now = time.time()
        kept = [row for row in self.rows if self._keep(row, now)]
        self.set_class(self.complete and not self.rows, "-empty")
        self.grid.show(columns.sorted_rows(kept, self.order, now), self.marked, self.order, now)
        self.query_one("#head", Static).update(self._head(len(kept)), layout=False)
        self._paint_about()

    def _paint_about(self) -> None:
        text = about(self.chosen, time.time(), self.size.width - 2)
        self.query_one("#about", Static).update(text, layout=False)
        offered = self._offered()
        if offered != self._keys_offered:  # a new footer takes longer than all the rest
            self._keys_offered = offered
            self.refresh_bindings()

    def on_resize(self) -> None:
        """Lines have another width."""
        self.call_after_refresh(self._paint)

    def _head(self, kept: int = 0) -> Content:
        count = len(self.rows)
        found = f"{count} run" + "s" * (count != 1) if self.complete else "looking for runs"
        shown = f"{kept} of {found}" if self.query_text else found
        parts: list[Content | str | tuple[str, str]] = [
            ("rft ", "bold $primary"),
            ("▸ ", "$quiet"),
            ("runs", "bold"),
            (f"   {shown}", "$quiet"),
        ]
        if self.marked:
            parts.append((f"  ◆ {len(self.marked)} marked", "bold $accent"))
        if self.query_text:
            parts += [("  / ", "bold $accent"), (self.query_text, "bold")]
        return Content.assemble(*parts, (f"  in {self.context.runs_dir}", "$quiet"))

    def _invitation(self) -> Content:
        return Content.assemble(
            (f"No runs in {self.context.runs_dir} yet.\n\n", "bold"),
            "Start one:             ",
            (f"rft launch quickstart{runs_dir_option(self.context.runs_dir)}\n", "bold $primary"),
            "Look somewhere else:   ",
            ("rftui --runs-dir DIR ", "bold $primary"),
        )

    def say_doing(self, text: str) -> None:
        """What goes on now, above the keys."""
        self.query_one("#doing", Static).update(f"◌ {text}" if text else "")
        self.set_class(bool(text), "-doing")

    # --- filter ----------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Write a filter. The focus is there at once: what is typed behind the slash is text already."""
        self.add_class("-filtering")
        field = self.query_one(Input)
        field.disabled = False
        self.set_focus(field)

    @on(Input.Changed, "#filter")
    def refilter(self, event: Input.Changed) -> None:
        """Filter while it is written; one that is wrong filters nothing, and is told."""
        try:
            self._keep, self.query_text = parse(event.value), event.value.strip()
            wrong = ""
        except QueryError as error:
            self._keep, self.query_text = parse(""), ""
            wrong = str(error)
        self.query_one("#wrong", Static).update(f"✖ {wrong}" if wrong else "")
        self.set_class(bool(wrong), "-wrong")
        self._paint()

    @on(Input.Submitted, "#filter")
    def leave_filter(self) -> None:
        """Back to the table; a filter that is wrong stays to be mended."""
        if not self.has_class("-wrong"):
            self._close_filter()

    def _close_filter(self) -> None:
        """Back to the table; what is out of sight takes no keys."""
        self.remove_class("-filtering")
        self.set_focus(self.grid)
        self.query_one(Input).disabled = True

    # --- keys ------------------------------------------------------------------------------------------

    def _offered(self) -> tuple[bool, ...]:
        """What the keys that are offered depend on."""
        return self.chosen is not None, self.chosen is not None and self.chosen.going, bool(self.marked)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered; in the filter a slash is text."""
        if not super().check_action(action, parameters):
            return False
        if action == "filter":
            return not isinstance(self.focused, Input)
        row = self.chosen if self.is_mounted else None
        if action in ("open", "mark", "note", "tags", "write"):
            return row is not None
        if action == "compare":
            return bool(self.marked)
        if action == "stop":
            return row is not None and row.going
        if action in ("resume", "export", "delete"):
            return row is not None and not row.going
        return True

    async def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.chosen is not None:
            await self.rft.open_run(RunDir(self.chosen.summary.path))

    @on(RunsGrid.Opened)
    async def open_clicked(self) -> None:
        """As enter."""
        await self.action_open()

    @on(RunsGrid.Moved)
    def moved(self) -> None:
        """Tell of another run."""
        self._paint_about()

    def action_mark(self) -> None:
        """Mark or unmark the run under the cursor, and go to the next."""
        if self.chosen is None:
            return
        name = self.chosen.name
        if name in self.marked:
            del self.marked[name]
        elif len(self.marked) == MOST_MARKED:
            self.notify(f"{MOST_MARKED} runs are marked, which is the most", severity="warning")
            return
        else:
            self.marked[name] = None
        self._paint()
        self.grid.action_move(1)

    def action_compare(self) -> None:
        """Compare the marked runs; the one under the cursor is the second when only one is marked."""
        from rftui.tui.screens.compare import CompareScreen

        names = dict(self.marked)
        if len(names) == 1 and self.chosen is not None:
            names[self.chosen.name] = None
        if len(names) < 2:
            self.notify("mark at least two runs with space", severity="warning")
            return
        self.app.push_screen(CompareScreen(self.context, list(names)))

    def action_sort(self) -> None:
        """Sort by the next column."""
        at = columns.SORTABLE.index(self.order.column)
        self._sort_by(columns.SORTABLE[(at + 1) % len(columns.SORTABLE)])

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort_by(self.order.column)

    @on(RunsGrid.SortedBy)
    def sort_clicked(self, message: RunsGrid.SortedBy) -> None:
        """Sort by the column whose name was clicked."""
        self._sort_by(message.column)

    def _sort_by(self, column: str) -> None:
        self.order = columns.by(column, self.order)
        self._paint()

    def action_write(self) -> None:
        """The runs that are shown, as files."""
        rows, now = [entry.row for entry in self.grid.entries], time.time()
        kinds = dict.fromkeys(written.KINDS, "the table")
        self.export(f"these {len(rows)} runs", "runs", lambda paths: written.write(paths, rows, now), kinds)

    def action_refresh(self) -> None:
        """Read the folder again."""
        self.look()

    async def action_back(self) -> None:
        """Out of the filter, then without filter, then without marks, then home."""
        if self.has_class("-filtering"):
            self._close_filter()
        elif self.query_text:
            self.query_one(Input).value = ""
        elif self.marked:
            self.marked = {}
            self._paint()
        else:
            await self.rft.open_area("home")
