"""Up to eight runs held against each other: curves in one chart, settings that differ, numbers at the end."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from rftui.runs.rundir import RunDir
from rftui.tui.axis import next_axis
from rftui.tui.catalog import title_of
from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.look import next_smoothing
from rftui.tui.runs_table import overlay
from rftui.tui.runs_table.comparison import Asked, Comparer, Comparison
from rftui.tui.runs_table.side_by_side import legend, numbers_table, settings_table
from rftui.tui.screens.compare_keys import COMPARE_KEYS
from rftui.tui.screens.export_actions import ExportActions
from rftui.tui.screens.reading import ReadingScreen
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.text_pane import TextPane

SLOW_S = 5.0
"""Seconds between two pictures on slow lines."""
READ_S = 0.2
"""Seconds of reading between two pictures while long runs are read."""
AXIS_WORDS = {"step": "step", "wall": "time since the start", "tokens": "tokens"}


class Table(TextPane):
    """A table of the comparison."""

    ALLOW_MAXIMIZE = True


class CompareScreen(ReadingScreen, ExportActions):
    """A thread reads the runs and posts what it found; handlers only paint."""

    class Seen(Message):
        """One moment of the comparison."""

        def __init__(self, comparison: Comparison) -> None:
            super().__init__()
            self.comparison = comparison

    CSS_PATH: ClassVar[list[str | PurePath]] = ["chart.tcss", "compare.tcss"]
    KEYS: ClassVar[tuple[Key, ...]] = COMPARE_KEYS
    CHANGING = ("export",)
    BINDINGS: ClassVar[list[BindingType]] = bindings(COMPARE_KEYS)
    AUTO_FOCUS = "#settings"
    ALLOW_IN_MAXIMIZED_VIEW = "#head, #legend, Footer"
    ESCAPE_TO_MINIMIZE = False

    def __init__(self, context: Context, names: Sequence[str]) -> None:
        super().__init__(context)
        self.comparison: Comparison | None = None
        self.asked = Asked()
        self.smoothing = context.settings.smoothing
        self.logarithmic = False
        self._comparer = Comparer([RunDir(context.runs_dir / name) for name in names])
        self._lock = threading.Lock()
        """Held while the comparer is used."""

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Chart(id="chart")
        yield Static(id="legend")
        with Container(id="tables"):
            yield Table(id="settings", title="settings that differ")
            yield Table(id="numbers", title="numbers at the end")
        yield Footer()

    # --- reading ---------------------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False)
    def read(self) -> None:
        """Read on, and look at what was asked for, until the screen is left."""
        due, settings = 0.0, self.context.settings
        rest = max(settings.refresh_s, SLOW_S) if settings.slow else settings.refresh_s
        while self.wanted_now():
            with self._lock:
                if time.monotonic() >= due:
                    behind = self._comparer.advance(READ_S)
                    due = time.monotonic() + (0.0 if behind else rest)
                comparison = self._comparer.look(self.asked)
            self.post_message(self.Seen(comparison))
            self.rest(due)

    def ask(self, asked: Asked) -> None:
        """Have another picture, at once."""
        self.asked = asked
        self.wake()

    def on_compare_screen_seen(self, message: "CompareScreen.Seen") -> None:
        """Paint."""
        self.comparison = message.comparison
        self._paint()

    # --- painting --------------------------------------------------------------------------------------

    def _paint(self) -> None:
        seen = self.comparison
        if seen is None:
            return
        with self.app.batch_update():
            chart = self.query_one(Chart)
            chart.show(overlay.plot_of(seen, self.smoothing, self.logarithmic))
            self.query_one("#head", Static).update(self._head(seen))
            self.query_one("#legend", Static).update(legend(seen, max(20, self.size.width - 2)))
            self.query_one("#settings", Table).show(partial(settings_table, seen))
            self.query_one("#numbers", Table).show(partial(numbers_table, seen))
        if chart.columns and chart.columns != self.asked.columns:
            self.ask(replace(self.asked, columns=chart.columns))

    def on_resize(self) -> None:
        """Everything has another width."""
        self.call_after_refresh(self._paint)

    def _head(self, seen: Comparison) -> Content:
        metric = title_of(seen.asked.metric)
        smooth = f", smoothed {self.smoothing:g}" if self.smoothing else ""
        return Content.assemble(
            ("rft ", "bold $primary"),
            ("▸ ", "$quiet"),
            (f"compare {len(seen.runs)} runs", "bold"),
            (f"   {metric}", "bold $accent"),
            (f" over {AXIS_WORDS[seen.asked.axis]}{smooth}", "$quiet"),
        )

    # --- keys ------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """One table is chosen only where not both are in sight."""
        if action == "table":
            return self.has_class("-xs") or self.has_class("-sm")
        return super().check_action(action, parameters)

    def action_metric(self, by: int) -> None:
        """Another metric in the chart."""
        if self.comparison is None or not self.comparison.metrics:
            return
        names = self.comparison.metrics
        at = names.index(self.asked.metric) if self.asked.metric in names else -by
        self.ask(replace(self.asked, metric=names[(at + by) % len(names)]))

    def action_axis(self) -> None:
        """Over steps, time or tokens."""
        if self.comparison is not None:
            self.ask(replace(self.asked, axis=next_axis(self.comparison.asked.axis, self.comparison.axes)))

    def action_smooth(self) -> None:
        """The next weight of the moving average."""
        self.smoothing = next_smoothing(self.smoothing, self.context.settings.smoothing)
        self._paint()

    def action_logarithmic(self) -> None:
        """Logarithmic values, or linear ones again."""
        self.logarithmic = not self.logarithmic
        self._paint()

    @work(group="base", exclusive=True, exit_on_error=False)
    async def action_base(self) -> None:
        """Hold the others against the next run."""
        await asyncio.to_thread(self._turn)
        self.wake()

    def _turn(self) -> None:
        with self._lock:
            first, *others = self._comparer.runs
            self._comparer.runs = [*others, first]

    def action_table(self) -> None:
        """The other table."""
        self.toggle_class("-numbers")
        self.call_after_refresh(self._paint)

    def action_zoom(self) -> None:
        """A pane over the whole screen, or back."""
        if self.maximized is not None:
            self.minimize()
        else:
            pane = self.focused if isinstance(self.focused, Table) else None
            self.maximize(pane or self.query_one(Chart), container=False)
        self.call_after_refresh(self._paint)

    def action_export(self) -> None:
        """Ask where to, and write."""
        names = "-".join(run.name for run in self._comparer.runs)[:80]
        self.export("the comparison", f"compare-{names}", self._write)

    def _write(self, paths: Sequence[Path]) -> None:
        from rftui.tui.runs_table import exporting

        with self._lock:
            exporting.write(paths, self._comparer, self.asked, self.smoothing)

    def action_back(self) -> None:
        """Out of the zoom, else to the table."""
        if self.maximized is not None:
            self.action_zoom()
        elif self.is_active:  # keys that were typed ahead still come here when it has gone
            self.dismiss()
