"""One run while it happens, or as it ended."""

import threading
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widgets import Footer
from textual.worker import Worker, WorkerState

from engine.findings import FindingsError
from rftui.launch import stop as stopping
from rftui.tui import panels
from rftui.tui.charts import Plot
from rftui.tui.context import Context
from rftui.tui.keys import LIVE_KEYS, LOG_KEYS, Key, bindings
from rftui.tui.reader import Reader
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.stop import StopDialog
from rftui.tui.snapshot import Curve, Snapshot
from rftui.tui.text import number
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.chart_grid import ChartGrid
from rftui.tui.widgets.log_tail import LogLine, LogTail
from rftui.tui.widgets.panel import Panel

POLL_S = 1.0
"""Seconds between two looks at a run."""
SMOOTHING = (0.0, 0.6, 0.9)


class LiveScreen(AreaScreen):
    """Reads the run in a thread, which posts one message per look; handlers only paint."""

    class Seen(Message):
        """What a look at the run found."""

        def __init__(self, snapshot: Snapshot, lines: list[LogLine]) -> None:
            super().__init__()
            self.snapshot = snapshot
            self.lines = lines

    CSS_PATH = "live.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = (*LIVE_KEYS, *LOG_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(LIVE_KEYS)
    ALLOW_IN_MAXIMIZED_VIEW = "#status, Footer"
    ESCAPE_TO_MINIMIZE = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.run_dir = context.the_run
        self.snapshot: Snapshot | None = None
        """The moment on the screen."""
        self.paused = False
        self.smoothing = 1
        self._pending: LiveScreen.Seen | None = None
        self._held: list[LogLine] = []
        self._repaint_once = False
        self._wanted: dict[str, int] = {}
        self._wake = threading.Event()
        self._left = threading.Event()

    def compose(self) -> ComposeResult:
        yield Panel(panels.status_line, id="status")
        yield Panel(panels.figures_line, id="figures")
        yield ChartGrid(id="charts")
        with Container(id="bottom"):
            with Vertical(id="facts"):
                yield Panel(panels.phase_panel, id="phases")
                yield Panel(panels.memory_panel, id="memory")
                yield Panel(panels.sample_panel, id="sample")
            yield LogTail(id="log")
        yield Panel(panels.notice_strip, id="notices")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start reading."""
        self.query_one("#phases").border_title = "phases"
        self.query_one("#memory").border_title = "memory"
        self.query_one("#sample").border_title = "sample"
        self.read()

    def on_unmount(self) -> None:
        """Let the reading thread go."""
        self._left.set()
        self._wake.set()

    # --- reading ---------------------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False)
    def read(self) -> None:
        """Look at the run every second, at once when asked, without rest to catch up, until it is left."""
        reader = Reader(self.run_dir)
        while not self._left.is_set():
            self._wake.clear()
            snapshot = reader.read(self._wanted)
            self.post_message(self.Seen(snapshot, reader.read_logs()))
            if not snapshot.loading:
                self._wake.wait(POLL_S)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Reading went wrong in a way nobody foresaw: say so rather than stand still."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.notify(f"reading stopped: {error!r}", severity="error", timeout=3600, markup=False)

    def on_chart_resized(self) -> None:
        """Data for another number of columns is needed."""
        self._ask()

    def _ask(self) -> None:
        """Have the charts' data read now, and painted even if painting is paused."""
        self._wanted = {c.metric.name: c.columns for c in self._charts.charts if c.metric and c.columns}
        self._repaint_once = True
        self._wake.set()

    def on_live_screen_seen(self, message: "LiveScreen.Seen") -> None:
        """Paint, or hold while paused."""
        self._held += message.lines
        self._pending = message
        if not self.paused or self._repaint_once:
            self._paint()
        else:
            self._show_status()

    # --- painting --------------------------------------------------------------------------------------

    def _paint(self) -> None:
        assert self._pending is not None
        snapshot = self._pending.snapshot
        first = self.snapshot is None or self.snapshot.active != snapshot.active
        self.snapshot, self._repaint_once = snapshot, False
        with self.app.batch_update():
            self._paint_panels(snapshot)
            self._paint_charts(snapshot)
            if self._held:
                self.query_one(LogTail).extend(self._held)
                self._held = []
        if first:
            self.refresh_bindings()

    def _paint_panels(self, snapshot: Snapshot) -> None:
        self._show_status()
        for panel in self.query(Panel).exclude("#status"):
            panel.show(snapshot)
        over = f" · mean of {snapshot.phase_steps} steps" if snapshot.phase_steps else ""
        now = f" · now {snapshot.phase_now}" if snapshot.phase_now else ""
        self.query_one("#phases").border_title = f"phases{over}{now}"
        self.query_one("#notices").set_class(bool(snapshot.notices), "-some")

    def _show_status(self) -> None:
        """The status line, which says when what is below it is not the present."""
        status = self.query_one("#status", Panel)
        if self.paused and self.snapshot and self._pending:
            behind = self._pending.snapshot.step - self.snapshot.step
            status.painter = panels.paused_line(behind)
            status.show(self.snapshot)
        elif self.snapshot:
            status.painter = panels.status_line
            status.show(self.snapshot)

    def _paint_charts(self, snapshot: Snapshot) -> None:
        self._charts.offer(snapshot.metrics)
        weight = SMOOTHING[self.smoothing]
        for chart in self._charts.charts:
            if chart.metric is None:
                continue
            name = chart.metric.name
            curve = snapshot.curves.get(name, Curve())
            chart.show(
                Plot(
                    title=chart.metric.title,
                    value=number(snapshot.latest[name]) if name in snapshot.latest else "",
                    buckets=curve.buckets,
                    columns=curve.columns,
                    x=snapshot.x,
                    smoothing=weight,
                    note="no finite value" if curve.buckets else "no data yet",
                )
            )

    @property
    def _charts(self) -> ChartGrid:
        return self.query_one("#charts", ChartGrid)

    # --- keys ------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        if action == "stop":
            return self.snapshot is not None and self.snapshot.active
        if action == "page":
            return self.is_mounted and self._charts.pages > 1 and self.maximized is None
        return True

    def action_pause(self) -> None:
        """Stop or resume painting."""
        self.paused = not self.paused
        if self._pending is not None:
            if self.paused:
                self._show_status()
            else:
                self._paint()

    def action_zoom(self) -> None:
        """The focused pane, or the first chart, over the whole screen; or back."""
        if self.maximized is not None:
            self.minimize()
        else:
            pane = self.focused if isinstance(self.focused, Chart | LogTail) else self._charts.charts[0]
            pane.focus()
            self.maximize(pane, container=False)
        self.refresh_bindings()

    def action_page(self, pages: int) -> None:
        """Turn the page of charts."""
        self._charts.turn(pages)
        self._ask()

    def action_smooth(self) -> None:
        """Next weight of the moving average."""
        self.smoothing = (self.smoothing + 1) % len(SMOOTHING)
        weight = SMOOTHING[self.smoothing]
        self.notify(f"moving average, weight {weight:g}" if weight else "no smoothing", timeout=2)
        if self.snapshot is not None:
            self._paint_charts(self.snapshot)

    def action_log_ranks(self) -> None:
        """Rank 0 or all ranks in the log."""
        self.query_one(LogTail).toggle_ranks()

    def action_stop(self) -> None:
        """Ask how to stop the run."""
        self.app.push_screen(StopDialog(self.run_dir.name), self._stop_as)

    def _stop_as(self, action: str | None) -> None:
        if action is not None:
            self.carry_out(action)

    @work(thread=True, exit_on_error=False)
    def carry_out(self, action: str) -> None:
        """Write the request, see that a kill is obeyed, and say what happens."""
        run = self.run_dir
        try:
            if action == "kill":
                self.notify(f"{run.name}: killing", markup=False)
                said = stopping.kill(run)
            else:
                stopping.ask(run, "stop")
                said = "stopping after its present step"
        except FindingsError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"{run.name}: {said}", markup=False)

    async def action_back(self) -> None:
        """Out of the zoom, else to the list of runs."""
        if self.maximized is not None:
            self.action_zoom()
        else:
            await self.app.run_action("area('home')")
