"""Reads a run for the live screen: its state and the ends of its logs. Runs in a thread."""

import os
from collections.abc import Mapping

from rftui.runs.follow import LogFollower
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.snapshot import Snapshot, take
from rftui.tui.text import clean_line
from rftui.tui.widgets.log_tail import TORCHRUN, LogLine

LOG_TAIL_BYTES = 1 << 16


class Reader:
    """State and logs of one run, each byte read once."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.view = RunView(run)
        self._logs: dict[str, LogFollower] = {}

    def read(self, columns: Mapping[str, int]) -> Snapshot:
        """What there is now, with each metric of `columns` in that many columns."""
        self.view.refresh()
        return take(self.view, columns)

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
            rank = _rank(name)
            lines += [LogLine(rank, clean_line(line)) for line in log.poll()]
        return lines


def _rank(log: str) -> int:
    """The rank in `rank-00003.log`; torchrun's for every other name."""
    digits = log.removeprefix("rank-").removesuffix(".log")
    return int(digits) if log.startswith("rank-") and digits.isdigit() else TORCHRUN
