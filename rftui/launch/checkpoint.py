"""Asks a running run for a checkpoint after its present step; training goes on."""

import time

from engine.control import Control
from engine.events import AnyEvent, CheckpointEvent, Header, Status
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
    asked = control.ask(run, "checkpoint")
    if asked.action != "checkpoint":
        end = "and saves a checkpoint then" if asked.action == "stop" else "without another checkpoint"
        cause = f"{run.name} was asked to {asked.action}: it ends, {end}."
        raise FindingsError([Finding("run.stopping", "error", cause)], EXIT_RUN_FAILED)
    return asked


class Answer:
    """What comes of a request, as rank 0 tells it."""

    def __init__(self, run: RunDir, asked: Control) -> None:
        self.run = run
        self.asked = asked
        self._events = EventFollower(run.events_dir, only=RANK_0, tail_bytes=TAIL_BYTES)
        self._saved = -1
        """The last step with a complete checkpoint."""
        self._ended: Status | None = None

    def poll(self) -> str:
        """The answer; empty while there is none.

        A run that was stopped or finishes meanwhile has saved its last step then. Raises, with exit code 1,
        `checkpoint.failed` where it was not saved, `run.ended` where the run ended otherwise.
        """
        over = present_status(self.run) not in ACTIVE  # before its last words are read
        for event in self._events.poll():
            if isinstance(event, Status) and event.answers >= self.asked.t:
                if event.state == "checkpointed":
                    return event.message
                raise FindingsError([Finding("checkpoint.failed", "error", event.message)], EXIT_RUN_FAILED)
            self._take(event)
        return self._at_the_end() if over and not self._events.behind else ""

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, CheckpointEvent) and event.state == "complete":
            self._saved = event.step
        elif isinstance(event, Header):  # another attempt
            self._ended = None
        elif isinstance(event, Status):
            self._ended = event if event.state in ("stopped", "finished") else None

    def _at_the_end(self) -> str:
        ended, status = self._ended, present_status(self.run)
        if ended is None or status != ended.state:  # it failed, or was killed
            cause = f"{self.run.name} ended first ({status})."
            raise FindingsError([Finding("run.ended", "error", cause)], EXIT_RUN_FAILED)
        how = "was stopped" if ended.state == "stopped" else "has finished"
        if self._saved != ended.step:
            cause = f"{self.run.name} {how} meanwhile, and step {ended.step} could not be saved."
            raise FindingsError([Finding("checkpoint.failed", "error", cause)], EXIT_RUN_FAILED)
        return f"it {how} meanwhile, and step {ended.step} is saved"


def wait(run: RunDir, asked: Control, timeout: float) -> str:
    """The answer to that request; raises as `Answer.poll`, and `checkpoint.timeout` after `timeout` s."""
    answer = Answer(run, asked)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if said := answer.poll():
            return said
        time.sleep(POLL_S)
    later = "it may be in a long step: the request stands, look again"
    longer = Fix(later, command=f"rft watch {run.in_commands}")
    cause = f"{run.name} has not answered within {timeout:g} s."
    raise FindingsError([Finding("checkpoint.timeout", "error", cause, fixes=(longer,))], EXIT_RUN_FAILED)
