"""Requests to a run: `control.json`, read by rank 0 ("stop", "checkpoint") and by the supervisor ("kill")."""

import time

import msgspec

from engine.control import Action, Control, requested
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir


def request(run: RunDir, action: Action) -> Control:
    """Ask for a stop or a checkpoint after the present step, or for an immediate end."""
    asked = Control(action, time.time())
    write_atomic(run.control_path, msgspec.json.encode(asked))
    return asked


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
