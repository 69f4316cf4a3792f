"""Reads a run that is played again, for the live screen: what there was at the clock's time."""

from rftui.runs.replay import ReplayClock, ReplayLog, ReplayView
from rftui.runs.rundir import RunDir
from rftui.tui.curves import Wanted
from rftui.tui.reader import rank_of
from rftui.tui.snapshot import Snapshot, take
from rftui.tui.text import clean_line
from rftui.tui.widgets.log_tail import KEPT, TORCHRUN, LogLine


class ReplayReader:
    """A `Reader` that begins anew when the clock was set back."""

    def __init__(self, run: RunDir, clock: ReplayClock) -> None:
        self.run, self.clock = run, clock
        self._begin()

    def _begin(self) -> None:
        self._rewinds = self.clock.rewinds
        self._told: list[LogLine] = []
        self.view = ReplayView(self.run, self.clock)
        logs = sorted(self.run.logs_dir.glob("*.log"), reverse=True)
        self._logs = {path.name: ReplayLog(path, KEPT) for path in logs}

    @property
    def step(self) -> int:
        """The newest step that was read."""
        return self.view.step

    def advance(self) -> int:
        """Read what has become due, for a short while; bytes that are still to be read."""
        if self.clock.rewinds != self._rewinds:
            self._begin()
            self._told = [LogLine(TORCHRUN, "… played again from an earlier step")]
        self.view.refresh()
        return self.view.behind

    def look(self, wanted: Wanted) -> Snapshot:
        """What there was at the last `advance`."""
        return take(self.view, wanted, self.clock())

    def read_logs(self) -> list[LogLine]:
        """Lines that have become due; rank 0 comes last, so that it is in sight."""
        lines, self._told = self._told, []
        now, ended = self.clock(), self.clock.ended and not self.view.behind
        for name, log in self._logs.items():
            due = log.poll(now, self.view.step, ended)[-KEPT:]
            lines += [LogLine(rank_of(name), clean_line(line)) for line in due]
        return lines
