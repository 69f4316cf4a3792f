"""A run told in short lines while one waits for it, and summed up in one line at the end."""

import time
from collections.abc import Callable
from typing import Any

from engine.events import Alert, AnyEvent, CheckpointEvent, Metric, Phase, Status
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status

MIN_INTERVAL_S = 1.0
POLL_S = 0.2
SHOWN = {"reward/mean": "reward", "kl/ref": "kl", "response/length_mean": "length"}


class Progress:
    """Follows a run's events and says what is new: each state, step (at most one a second) and evaluation."""

    def __init__(self, run: RunDir, say: Callable[[str], None], since: float) -> None:
        """`since`: Unix time of this attempt; what happened before is taken in and not said."""
        self.run = run
        self.step = 0
        self.eval: dict[str, float | None] = {}
        self._say = say
        self._since = since
        self._total: int | None = None
        self._follower = EventFollower(run.events_dir)
        self._pending = ""
        self._next_line_at = 0.0

    def poll(self) -> None:
        """Take in what is new and say it."""
        for event in self._follower.poll():
            self._take(event, event.t >= self._since)
        if self._pending and time.monotonic() >= self._next_line_at:
            self._flush()

    def finish(self) -> None:
        """Say what has been held back."""
        while self._follower.behind:
            self.poll()
        self.poll()
        self._flush()

    def wait(self) -> str:
        """Follow until the run has ended; returns its final status."""
        while (status := present_status(self.run)) in ACTIVE:
            self.poll()
            time.sleep(POLL_S)
        self.finish()
        return status

    def result(self) -> dict[str, Any]:
        """`{"name", "status", "steps", "eval", "seconds"}`, and "cause" if it did not end by itself."""
        info = self.run.read_info()
        started = info.started or info.created
        result = {
            "name": info.name,
            "status": present_status(self.run),
            "steps": self.step,
            "eval": self.eval,
            "seconds": round((info.ended or time.time()) - started, 3),
        }
        return result | ({"cause": info.exit.cause} if info.exit else {})

    def _take(self, event: AnyEvent, is_new: bool) -> None:
        if isinstance(event, Metric):
            self._take_metric(event, is_new)
        elif isinstance(event, Status):
            self._total = event.total_steps if event.total_steps > 0 else self._total
            if event.state == "resumed":  # steps after the checkpoint are done again
                self.step = max(event.step, 0)
            if is_new and event.rank == 0:
                self._now(event.state + (f": {event.message}" if event.message else ""))
        elif isinstance(event, Phase) and is_new:
            if event.rank == 0 and (event.name, event.state) == ("load", "begin"):
                self._now("loading model and data")
        elif isinstance(event, Alert) and is_new and event.state == "raised":
            self._now(f"{event.finding.severity} {event.finding.id}: {event.finding.cause}")
        elif isinstance(event, CheckpointEvent) and is_new and event.state == "failed":
            self._now(f"checkpoint of step {event.step} failed: {event.message}")

    def _take_metric(self, event: Metric, is_new: bool) -> None:
        self.step = max(self.step, event.step)
        evaluated = {k.removeprefix("eval/"): v for k, v in event.values.items() if k.startswith("eval/")}
        self.eval.update(evaluated)
        if not is_new:
            return
        of = f"/{self._total}" if self._total else ""
        if evaluated:
            self._now(f"step {event.step}{of}  evaluation: " + _numbers(evaluated))
        shown = {label: event.values[name] for name, label in SHOWN.items() if name in event.values}
        if shown:
            self._pending = f"step {event.step}{of}  " + _numbers(shown)

    def _now(self, line: str) -> None:
        self._flush()
        self._say(line)

    def _flush(self) -> None:
        if self._pending:
            self._say(self._pending)
            self._pending = ""
            self._next_line_at = time.monotonic() + MIN_INTERVAL_S


def _numbers(values: dict[str, float | None]) -> str:
    return "  ".join(
        f"{name} {'—' if value is None else format(value, '.4g')}" for name, value in values.items()
    )
