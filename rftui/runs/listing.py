"""All runs of a folder at a glance, fast: `run.json` and the tail of rank 0's events, never whole files."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.events import Metric, Status
from engine.findings import FindingsError
from rftui.runs.info import ACTIVE, RunInfo, supervisor_alive
from rftui.runs.rundir import RunDir, names
from rftui.runs.view import status_of, tail_state

REWARD = "reward/mean"
_REWARD_KEY = f'"{REWARD}":'.encode()
_END_BYTES = (1 << 14, 1 << 20)
_START_BYTES = 1 << 16
_LIVE_TAIL_BYTES = 1 << 16


class RunSummary(NamedTuple):
    """One line of a list of runs. `updated`: Unix time of its end, else of its last event, else of creation.

    A folder whose `run.json` cannot be read has the status "unreadable" and says why in `problem`.
    """

    name: str
    path: Path
    status: str
    created: float
    updated: float
    step: int = 0
    total_steps: int | None = None
    reward: float | None = None
    preset: str = ""
    nproc: int = 0
    problem: str = ""


def list_runs(runs_dir: Path, now: float | None = None) -> list[RunSummary]:
    """Summaries of all runs, newest first; folders without a `run.json` are none of ours."""
    now = time.time() if now is None else now
    found = [summarize(RunDir(runs_dir / name), now) for name in names(runs_dir)]
    return sorted(found, key=lambda run: (run.created, run.name), reverse=True)


def summarize(run: RunDir, now: float) -> RunSummary:
    """Summary of one run, read from little of it."""
    try:
        info = run.read_info()
    except FindingsError as error:
        changed = _changed(run.path)
        return RunSummary(run.name, run.path, "unreadable", changed, changed, problem=error.findings[0].cause)
    events = run.events_dir / "rank-00000.jsonl"
    last = _last_reward(events)
    total = info.total_steps
    if total is None and info.status in ACTIVE:
        total = _total_steps(events)
    return RunSummary(
        name=run.name,
        path=run.path,
        status=_status(run, info, now),
        created=info.created,
        updated=info.ended or _changed(events) or info.created,
        step=last.step if last else info.steps,
        total_steps=total,
        reward=last.values.get(REWARD) if last else None,
        preset=info.preset,
        nproc=info.nproc,
    )


def _status(run: RunDir, info: RunInfo, now: float) -> str:
    """`effective_status`; only a run that may be alive costs a look at its events."""
    if info.status not in ACTIVE:
        return info.status
    if supervisor_alive(info) is False:
        return "lost"
    return status_of(info, tail_state(run, _LIVE_TAIL_BYTES), now)


def _last_reward(events: Path) -> Metric | None:
    """The last metric event that tells the reward, searched backwards in the end of the file."""
    for size in _END_BYTES:
        text, whole = _end(events, size)
        end = len(text)
        while (found := text.rfind(_REWARD_KEY, 0, end)) >= 0:
            end = text.rfind(b"\n", 0, found) + 1
            metric = _decoded(text[end : text.find(b"\n", found) + 1], Metric)
            if metric is not None:
                return metric
        if whole:
            return None
    return None


def _total_steps(events: Path) -> int | None:
    """Number of steps as rank 0 said it soon after its start."""
    try:
        with events.open("rb") as file:
            lines = file.read(_START_BYTES).split(b"\n")
    except OSError:
        return None
    for line in lines:
        status = _decoded(line, Status) if b'"total_steps":' in line else None
        if status is not None and status.total_steps > 0:
            return status.total_steps
    return None


def _decoded(line: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except ValueError:  # another kind, or a damaged line
        return None


def _end(path: Path, size: int) -> tuple[bytes, bool]:
    """Up to `size` bytes from the end of a file, and whether that is all of it."""
    try:
        with path.open("rb", buffering=0) as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - size))
            return file.read(), length <= size
    except OSError:
        return b"", True


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
