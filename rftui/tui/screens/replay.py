"""A finished run played again on the live screen, faster or slower than it happened."""

from dataclasses import replace
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.content import Content

from rftui.runs.replay import ReplayClock, time_of_step
from rftui.tui import panels
from rftui.tui.blocks import joined
from rftui.tui.keys import Key, bindings
from rftui.tui.panels import Painter
from rftui.tui.replay_mark import replay_mark
from rftui.tui.screens.ask import AskScreen
from rftui.tui.screens.live import LiveScreen
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.panel import Panel

REPLAY_KEYS = (
    Key("less_than_sign", "speed(0.5)", "slower", "half as fast", shown="<"),
    Key("greater_than_sign", "speed(2)", "faster", "twice as fast", shown=">"),
    Key("J", "jump", "jump", "go to a step, earlier or later", shown="J"),
)
STANDS_STILL = "the clock stands still, and goes on when pressed again"


class ReplayScreen(LiveScreen):
    """The live screen with a clock in hand."""

    KEYS: ClassVar[tuple[Key, ...]] = (
        *REPLAY_KEYS,
        *(replace(key, help=STANDS_STILL) if key.action == "pause" else key for key in LiveScreen.KEYS),
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings(REPLAY_KEYS)

    @property
    def clock(self) -> ReplayClock:
        """The run's time."""
        assert self.context.clock is not None
        return self.context.clock

    def _paint_status(self) -> None:
        """The status line, which says that this is no present."""
        if self.snapshot is not None:
            status = self.query_one("#status", Panel)
            status.painter = replay_line(self.clock.speed, self.clock.paused, self.clock.ended)
            status.show(self.snapshot)

    def action_pause(self) -> None:
        """Stop the clock, or let it go on."""
        self.clock.pause(not self.clock.paused)
        self._paint_status()

    def action_speed(self, factor: float) -> None:
        """Faster or slower."""
        self.clock.set_speed(self.clock.speed * factor)
        self._paint_status()

    def action_jump(self) -> None:
        """Ask for a step."""
        total = f" (1 to {self.snapshot.total})" if self.snapshot and self.snapshot.total else ""
        ask = AskScreen(f"Go to step{total}", "the replay goes on from there", check=_why_no_step)

        def answered(line: str | None) -> None:
            if line:
                self.jump(int(line))

        self.app.push_screen(ask, answered)

    @work(thread=True, exclusive=True, group="jump", exit_on_error=False)
    def jump(self, step: int) -> None:
        """Find the step's time, and set the clock."""
        found = time_of_step(self.run_dir, step)
        if found is None:
            self.notify(f"the run did not get as far as step {step}", severity="warning")
        else:
            self.clock.jump(found)
            self.ask()


def replay_line(speed: float, paused: bool, ended: bool) -> Painter:
    """The status line with ` replay ×20 ` before it, and whether the clock stands still."""
    state = "paused" if paused else "at its end" if ended else ""

    def paint(snapshot: Snapshot, width: int, height: int) -> Content:
        mark = replay_mark(speed, state)
        rest = panels.status_line(snapshot, width - mark.cell_length - 1, height)
        return joined([mark, rest], width, " ")

    return paint


def _why_no_step(line: str) -> str:
    return "" if line.isdecimal() and len(line) < 10 else "give a number"
