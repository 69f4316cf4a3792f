"""How long launches of the same preset took before: what a new one is held against."""

from contextlib import suppress

from engine.findings import FindingsError
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, names
from rftui.tui.planning.starting import Earlier, StartFollower, seconds

UNKNOWN = ("preflight", "run directory")
"""Steps that no run directory tells of: they came before it."""
TRIED = 5
"""Runs that are looked into, the newest first."""


def earlier(run: RunDir) -> Earlier | None:
    """The newest other run of its preset, with as many ranks, that came to its first step."""
    info = run.read_info()
    for other, began in _alike(run, info)[:TRIED]:
        with suppress(FindingsError, OSError):
            told = StartFollower(other, began).poll()
            if told.first_step:
                took = seconds(told)
                return Earlier(other.name, {step: took[step] for step in took if step not in UNKNOWN})
    return None


def _alike(run: RunDir, info: RunInfo) -> list[tuple[RunDir, float]]:
    """Runs and when they were created. A resumed one has several starts in its events."""
    found = []
    for name in names(run.path.parent):
        with suppress(FindingsError, OSError):
            other = RunDir(run.path.parent / name)
            there = other.read_info()
            alike = (there.preset, there.nproc, there.attempt) == (info.preset, info.nproc, 1)
            if alike and name != run.name:
                found.append((other, there.created))
    return sorted(found, key=lambda each: each[1], reverse=True)
