"""One run while it happens, or as it ended."""

import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from rftui.tui import panels
from rftui.tui.context import Context
from rftui.tui.curves import Wanted
from rftui.tui.gpu_matrix import gpu_label, gpu_panel, gpu_title
from rftui.tui.keys import Key, bindings
from rftui.tui.look import Look
from rftui.tui.phases import phase_panel, phase_title
from rftui.tui.rank_table import rank_panel
from rftui.tui.reader import Reader, reader_of
from rftui.tui.screens.area import HEIGHTS
from rftui.tui.screens.live_alerts import AlertActions
from rftui.tui.screens.live_baseline import BaselineActions
from rftui.tui.screens.live_charts import ChartActions
from rftui.tui.screens.live_export import LiveExport
from rftui.tui.screens.live_keys import LIVE_KEYS, LOG_KEYS, PANE_KEYS
from rftui.tui.screens.live_stop import StopActions
from rftui.tui.screens.reading import ReadingScreen
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.chart_grid import ChartGrid
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.log_tail import KEPT, LogLine, LogTail
from rftui.tui.widgets.panel import Panel

PAUSED = 5
"""A paused screen tells only how far behind it is: so many times less often."""
LOADING_S = 0.25
"""Seconds between two pictures while a long run is being read."""
SLOW_CHARTS_S, SLOW_TABLES_S = 5.0, 15.0
"""Seconds between two pictures of charts and log, and of everything else below the figures, on slow lines."""
ROWS = [(0, "-tiny"), (20, "-short"), *HEIGHTS[1:]]
LAYOUTS = ("charts", "gpus", "text")


class LiveScreen(ChartActions, BaselineActions, AlertActions, StopActions, LiveExport, ReadingScreen):
    """Reads the run in a thread, which posts one message per look; handlers only paint."""

    class Behind(Message):
        """The step that a paused run is at."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Seen(Message):
        """What a look at the run found. `asked`: it was taken because the charts need it."""

        def __init__(self, snapshot: Snapshot, lines: list[LogLine], asked: bool) -> None:
            super().__init__()
            self.snapshot = snapshot
            self.lines = lines
            self.asked = asked

    CSS_PATH: ClassVar[list[str | PurePath]] = ["chart.tcss", "live.tcss"]
    CHANGING = ("export",)
    KEYS: ClassVar[tuple[Key, ...]] = (*LIVE_KEYS, *LOG_KEYS, *PANE_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIVE_KEYS)
    VERTICAL_BREAKPOINTS = ROWS
    ALLOW_IN_MAXIMIZED_VIEW = "#status, Footer"
    ESCAPE_TO_MINIMIZE = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.run_dir = context.the_run
        self.snapshot: Snapshot | None = None
        """The moment on the screen."""
        self.paused = False
        self.look = Look(smoothing=context.settings.smoothing)
        self.layout_preset = 0
        self._newest_step = 0
        self._held: deque[LogLine] = deque(maxlen=KEPT)
        self._painted = {"charts": 0.0, "tables": 0.0}
        self._wants = Wanted()
        self._asked = threading.Event()

    def compose(self) -> ComposeResult:
        yield Panel(panels.status_line, id="status", focusable=False)
        yield Panel(panels.figures_line, id="figures", focusable=False)
        yield ChartGrid(id="charts")
        yield Panel(phase_panel, id="phases", title=phase_title, label="phase", whole=True)
        with Container(id="bottom"):
            with Container(id="machine"):
                yield Panel(gpu_panel, id="gpus", title=gpu_title, label=gpu_label)
                yield Panel(rank_panel, id="ranks", title="ranks and collectives", label="ranks")
            with Container(id="words"):
                yield Panel(panels.sample_panel, id="sample", title="sample")
                yield LogTail(id="log")
        yield Panel(panels.alert_detail(0), id="alert")
        yield Panel(panels.notice_strip, id="notices")
        yield Footer()

    # --- reading ---------------------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False)
    def read(self) -> None:
        """Look at the run regularly, at once when asked, without rest to catch up, until it is left."""
        reader = reader_of(self.context)
        due, shown, loading = 0.0, 0.0, 0
        while self.wanted_now():
            asked, now = self._asked.is_set(), time.monotonic()
            self._asked.clear()
            advanced = now >= due
            if advanced:
                loading = reader.advance()
                rest = self.context.settings.refresh_s * (PAUSED if self.paused else 1)
                due = time.monotonic() if loading else now + rest
            if self.paused and not asked:
                self.post_message(self.Behind(reader.step))
            elif asked or (advanced and (not loading or now - shown >= LOADING_S)):
                lines = reader.read_logs() if advanced else []
                self.post_message(self.Seen(self._look(reader), lines, asked))
                shown = now
            self.rest(due)

    def _look(self, reader: Reader) -> Snapshot:
        """The moment that was read, with as much as is read of the run behind the charts."""
        wanted, baseline = self._wants, self.baseline
        snapshot = reader.look(wanted)
        if baseline is None:
            return snapshot
        if baseline.advance():
            self._asked.set()
            self.wake()
        return replace(snapshot, baseline=baseline.look(wanted, snapshot.axis, snapshot.x))

    def ask(self) -> None:
        """Have the charts' data taken now, and painted even if painting is paused."""
        self._wants = self.wanted()
        self._asked.set()
        self.wake()

    def on_live_screen_seen(self, message: "LiveScreen.Seen") -> None:
        """Paint; a message from before the pause is only kept."""
        self._held += message.lines
        self._newest_step = message.snapshot.step
        if message.asked or not self.paused:
            self._paint(message.snapshot, in_full=message.asked)

    def on_live_screen_behind(self, message: "LiveScreen.Behind") -> None:
        """While paused only the number of steps goes on."""
        if message.step != self._newest_step:
            self._newest_step = message.step
            self._paint_status()

    # --- painting --------------------------------------------------------------------------------------

    def _paint(self, snapshot: Snapshot, in_full: bool) -> None:
        changed = self.snapshot is None or self.snapshot.active != snapshot.active
        had_notices = bool(self.snapshot and self.snapshot.notices)
        self.snapshot = snapshot
        in_full = in_full or changed or not self.context.settings.slow
        charts = self._due("charts", SLOW_CHARTS_S) or in_full
        tables = self._due("tables", SLOW_TABLES_S) or in_full
        with self.app.batch_update():
            self._paint_status()
            for panel in self.query(Panel):
                if panel.id in ("figures", "notices") or (tables and panel.id not in ("status", "alert")):
                    panel.show(snapshot)
            if charts:
                self.paint_charts()
            if self.alert_at is not None:
                self.show_alert()
            self._paint_notices(snapshot)
            if self._held and charts:
                self.query_one(LogTail).extend(self._held)
                self._held.clear()
        if changed or had_notices != bool(snapshot.notices):
            self.refresh_bindings()

    def _due(self, what: str, every: float) -> bool:
        """Whether these were last painted that many seconds ago, and so are painted now."""
        now = time.monotonic()
        due = now - self._painted[what] >= every
        if due:
            self._painted[what] = now
        return due

    def _paint_notices(self, snapshot: Snapshot) -> None:
        for lines in (1, 2, 3):
            self.query_one("#notices").set_class(len(snapshot.notices) >= lines, f"-lines-{lines}")

    def _paint_status(self) -> None:
        """The status line, which says when what is below it is not the present."""
        if self.snapshot is None:
            return
        status = self.query_one("#status", Panel)
        behind = self._newest_step - self.snapshot.step
        status.painter = panels.paused_line(behind) if self.paused else panels.status_line
        status.show(self.snapshot)

    # --- keys ------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        if action in ("stop", "checkpoint"):
            return self.snapshot is not None and self.snapshot.active and not self._readonly
        if action == "page":
            return self.is_mounted and self.charts.pages > 1 and self.maximized is None
        if action == "alert":
            return self.snapshot is not None and bool(self.snapshot.notices)
        return super().check_action(action, parameters)

    @property
    def _readonly(self) -> bool:
        """A replayed run can neither be stopped nor save."""
        return self.context.settings.readonly or self.context.speed is not None

    def action_pause(self) -> None:
        """Stop or resume painting."""
        self.paused = not self.paused
        self._paint_status()
        if not self.paused:
            self.ask()

    def action_zoom(self) -> None:
        """The focused pane, or the first chart, over the whole screen; or back."""
        if self.maximized is not None:
            self.minimize()
        else:
            pane = self.focused if isinstance(self.focused, Chart | LogTail | Panel) else None
            if self.alert_at is not None:
                pane = self.query_one("#alert", Panel)
            pane = pane or self.charts.charts[0]
            pane.focus()
            self.maximize(pane, container=False)
        self.refresh_bindings()

    def action_layout(self) -> None:
        """More room for charts, for GPUs and ranks, or for sample and log."""
        self.layout_preset = (self.layout_preset + 1) % len(LAYOUTS)
        for number, name in enumerate(LAYOUTS):
            self.set_class(number == self.layout_preset, f"-focus-{name}")
        named = {"charts": "charts", "gpus": "GPUs and ranks", "text": "sample and log"}
        self.notify(f"more room for {named[LAYOUTS[self.layout_preset]]}", timeout=2)

    def action_log_ranks(self) -> None:
        """Rank 0 or all ranks in the log."""
        self.query_one(LogTail).toggle_ranks()

    def action_detach(self) -> None:
        """Leave, and say how to come back."""
        run, speed = self.run_dir, self.context.speed
        what = f"replay {run.in_commands} --speed {speed:g}" if speed else f"watch {run.in_commands}"
        on = self.snapshot is not None and self.snapshot.active and not speed
        said = f"{run.name} keeps running" if on else f"detached from {run.name}"
        self.app.exit(message=Text(f"{said}\n  watch: rft {what}"))

    async def action_back(self) -> None:
        """Out of the crosshair, the zoom or the alert, else home."""
        if self.alert_at is not None and self.maximized is None:
            self.close_alert()
        elif self.look.cursor is not None and self.alert_at is None:
            self.point(None)
        elif self.maximized is not None:
            self.action_zoom()
        else:
            await self.app.run_action("area('home')")
