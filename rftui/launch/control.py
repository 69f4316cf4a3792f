"""Requests to a run: `control.json`, read by rank 0 ("stop", "checkpoint") and by the supervisor ("kill")."""

import contextlib
import fcntl
import time
from collections.abc import Iterator

import msgspec

from engine.control import Action, Control, requested
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.launch.processes import NO_LOCKS
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir


def request(run: RunDir, action: Action) -> Control:
    """Ask for a stop or a checkpoint after the present step, or for an immediate end.

    Returns the request that stands then: one for a checkpoint takes no other back.
    """
    with _alone(run):
        before = requested(run.path)
        if action == "checkpoint" and before is not None and before.action != "checkpoint":
            return before
        later = before.t + 1e-6 if before is not None else 0.0  # also where another machine's clock is ahead
        asked = Control(action, max(time.time(), later))
        write_atomic(run.control_path, msgspec.json.encode(asked))
    return asked


def forget_answered(run: RunDir, answered: float) -> None:
    """Remove a request for a checkpoint up to `answered`: the next attempt would obey it once more."""
    with contextlib.suppress(OSError), _alone(run):  # one checkpoint too many is no harm
        asked = requested(run.path)
        if asked is not None and asked.action == "checkpoint" and asked.t <= answered:
            run.control_path.unlink()


@contextlib.contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """Between reading and writing nobody else writes. A file system without locks must do without."""
    with (run.path / "control.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield


def ask(run: RunDir, action: Action) -> Control:
    """The same for a person: an unwritable run directory is a finding (exit code 3)."""
    try:
        return request(run, action)
    except OSError as error:
        pid = run.read_info().supervisor_pid
        finding = Finding(
            id="run.dir-unwritable",
            severity="error",
            cause=f"the request cannot be written to {run.control_path}: {error.strerror or error}.",
            fixes=(Fix("signal the supervisor instead: once to stop, twice to kill", command=f"kill {pid}"),),
        )
        raise FindingsError([finding], EXIT_UNFIT) from error


def kill_requested(run: RunDir) -> bool:
    """Whether an immediate end was asked for."""
    asked = requested(run.path)
    return asked is not None and asked.action == "kill"
