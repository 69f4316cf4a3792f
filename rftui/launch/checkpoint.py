"""Asks a running run for a checkpoint after its present step; training goes on."""

import time

from engine.control import Control, requested
from engine.events import Status
from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix
from rftui.launch import control
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status

POLL_S = 0.2
RANK_0 = "rank-00000.jsonl"
TAIL_BYTES = 1 << 20
"""More than a run writes between a request and the first look for its answer."""


def ask(run: RunDir) -> Control:
    """Write the request. Raises `run.ended`, or `run.stopping` rather than take back a stop or kill."""
    status = present_status(run)
    if status not in ACTIVE:
        cause = f"{run.name} has ended ({status}): nothing more can be saved."
        raise FindingsError([Finding("run.ended", "error", cause)], EXIT_RUN_FAILED)
    before = requested(run.path)
    if before is not None and before.action != "checkpoint":
        end = "and saves a checkpoint then" if before.action == "stop" else "without another checkpoint"
        cause = f"{run.name} was asked to {before.action}: it ends, {end}."
        raise FindingsError([Finding("run.stopping", "error", cause)], EXIT_RUN_FAILED)
    return control.ask(run, "checkpoint")


def wait(run: RunDir, asked: Control, timeout: float) -> str:
    """The answer to that request.

    Raises, with exit code 1, `checkpoint.failed` where it was not saved, `run.ended` where the run ended
    otherwise than well before that, `checkpoint.timeout` after `timeout` seconds.
    """
    events = EventFollower(run.events_dir, only=RANK_0, tail_bytes=TAIL_BYTES)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        over = present_status(run) not in ACTIVE  # before its last words are read
        for event in events.poll():
            if isinstance(event, Status) and event.answers == asked.t:
                if event.state == "checkpointed":
                    return event.message
                raise FindingsError([Finding("checkpoint.failed", "error", event.message)], EXIT_RUN_FAILED)
        if over and present_status(run) == "finished":
            return "it has finished meanwhile, and saves its last step then"
        if over:
            cause = f"{run.name} ended first ({present_status(run)})."
            raise FindingsError([Finding("run.ended", "error", cause)], EXIT_RUN_FAILED)
        time.sleep(POLL_S)
    later = "it may be in a long step: the request stands, look again"
    longer = Fix(later, command=f"rft watch {run.in_commands}")
    cause = f"{run.name} has not answered within {timeout:g} s."
    raise FindingsError([Finding("checkpoint.timeout", "error", cause, fixes=(longer,))], EXIT_RUN_FAILED)
