"""Helpers for runs of the stand-in rank program."""

import time
from collections.abc import Callable

from rftui.launch.processes import processes_of
from rftui.launch.start import start_detached
from rftui.launch.stop import is_over
from rftui.runs.rundir import RunDir

RANK_PROGRAM = "rank_program"


def start(run: RunDir) -> None:
    """Start the run's supervisor over the stand-in."""
    start_detached(run, module=RANK_PROGRAM)


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def wait_until_over(run: RunDir) -> None:
    """Wait for the run's end."""
    wait_for(lambda: is_over(run))


def ranks_up(run: RunDir, nproc: int) -> bool:
    """Whether that many ranks have begun to write events."""
    return len(list(run.events_dir.glob("rank-*.jsonl"))) == nproc and bool(processes_of(run.path))
