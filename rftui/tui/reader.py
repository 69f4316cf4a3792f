"""Reads a run for the live screen: its state and the ends of its logs. Runs in a thread."""

import os
import time
from collections.abc import Callable
from typing import Protocol

from rftui.runs.follow import LogFollower
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.context import Context
from rftui.tui.curves import Wanted
from rftui.tui.snapshot import Snapshot, take
from rftui.tui.text import clean_line
from rftui.tui.widgets.log_tail import KEPT, TORCHRUN, LogLine

LOG_TAIL_BYTES = 1 << 16
BEHIND_BYTES = 1 << 20
"""A log that is this far ahead of what was read is continued near its end."""


class Reader(Protocol):
    """Where the live screen gets a run from, whether it happens, has ended, or is played again."""

    @property
    def step(self) -> int:
        """The newest step that was read."""

    def advance(self) -> int:
        """Read what is new, for a short while; bytes that are still to be read."""

    def look(self, wanted: Wanted) -> Snapshot:
        """What there was at the last `advance`; quick, reads no events."""

    def read_logs(self) -> list[LogLine]:
        """Lines that are new since the last call."""


def reader_of(context: Context) -> Reader:
    """The reader of the context's run."""
    if context.clock is not None:
        from rftui.tui.replay_reader import ReplayReader

        return ReplayReader(context.the_run, context.clock)
    return RunReader(context.the_run)


class RunReader:
    """State and logs of one run as they are on disk, each byte read once. `clock` tells Unix time."""

    def __init__(self, run: RunDir, clock: Callable[[], float] = time.time) -> None:
        self.run = run
        self.clock = clock
        self.view = RunView(run, clock=clock)
        self._logs: dict[str, LogFollower] = {}

    @property
    def step(self) -> int:
        """The newest step that was read."""
        return self.view.step

    def advance(self) -> int:
        """Read what is new, for a short while; bytes that are still to be read."""
        self.view.refresh()
        return self.view.behind

    def look(self, wanted: Wanted) -> Snapshot:
        """What there was at the last `advance`."""
        return take(self.view, wanted, self.clock())

    def read_logs(self) -> list[LogLine]:
        """Lines that are new; of a log first seen, its end. Rank 0 comes last, so that it is in sight."""
        try:
            names = [n for n in os.listdir(self.run.logs_dir) if n.endswith(".log")]  # noqa: PTH208
        except OSError:
            return []
        lines: list[LogLine] = []
        for name in sorted(names, reverse=True):
            log = self._logs.get(name)
            if log is None:
                log = LogFollower(self.run.logs_dir / name, tail_bytes=LOG_TAIL_BYTES)
                self._logs[name] = log
            rank, new = rank_of(name), log.poll()
            if log.behind > BEHIND_BYTES:
                log = self._logs[name] = LogFollower(self.run.logs_dir / name, tail_bytes=LOG_TAIL_BYTES)
                new = ["… lines passed over: they come too fast to be shown here", *log.poll()]
            lines += [LogLine(rank, clean_line(line)) for line in new[-KEPT:]]
        return lines


def rank_of(log: str) -> int:
    """The rank in `rank-00003.log`; torchrun's for every other name."""
    digits = log.removeprefix("rank-").removesuffix(".log")
    return int(digits) if log.startswith("rank-") and digits.isdecimal() else TORCHRUN
