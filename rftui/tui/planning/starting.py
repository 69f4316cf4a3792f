"""A launch read from the run directory: what has happened, what is being waited for."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from engine.events import AnyEvent, Header, Metric, Phase, Status
from engine.findings import FindingsError
from rftui.launch.outcome import read_errors
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE, RunInfo
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status
from rftui.tui.text import clean_line

State = Literal["waiting", "doing", "done", "failed"]


@dataclass(frozen=True)
class Step:
    """One line of the list. `at`: Unix time when it was done."""

    name: str
    state: State = "waiting"
    said: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Earlier:
    """Another launch: the run's name, and the seconds that each step took there."""

    run: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Starting:
    """How far a launch has come. `began` and `now`: Unix times."""

    began: float
    now: float
    steps: tuple[Step, ...]
    run: RunDir | None = None
    cause: str = ""
    """Why it failed; empty while it does not."""
    evidence: tuple[str, ...] = ()
    first_step: bool = False
    earlier: Earlier | None = None

    @property
    def failed(self) -> bool:
        return bool(self.cause)


EVIDENCE_LINES = 6
CHECKED = "model, data, reward, memory, port"
NAMES = (
    "preflight",
    "run directory",
    "supervisor",
    "ranks joined",
    "weights loaded",
    "rollout engine",
    "first rollout",
    "first step",
)


def not_started(began: float) -> Starting:
    """The checks before anything exists."""
    steps = [Step(name) for name in NAMES]
    steps[0] = replace(steps[0], state="doing", said=CHECKED)
    return Starting(began, began, tuple(steps))


def refused(before: Starting, error: FindingsError) -> Starting:
    """Nothing was started: what was checked speaks against it."""
    wrong = [finding.cause for finding in error.findings if finding.severity == "error"]
    now = time.time()
    return replace(before, now=now, steps=_failed(before.steps), cause=wrong[0], evidence=tuple(wrong[1:]))


def _failed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """What was being done has failed."""
    return tuple(replace(step, state="failed") if step.state == "doing" else step for step in steps)


@dataclass
class _Seen:
    """What events have told so far: Unix times."""

    headers: dict[int, float] = field(default_factory=dict)
    loaded: float | None = None
    engine: float | None = None
    rollout_began: float | None = None
    rollout: float | None = None
    step: float | None = None
    doing: str = ""


class StartFollower:
    """Reads a run that is starting.

    `began`: when the launch was asked for; `earlier`: what it is held against.
    """

    def __init__(
        self,
        run: RunDir,
        began: float,
        earlier: Earlier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = run
        self.began = began
        self.earlier = earlier
        self._clock = clock
        self._events = EventFollower(run.events_dir)
        self._seen = _Seen()

    def poll(self) -> Starting:
        """The list as it is now; FindingsError where the run's directory cannot be read."""
        info, status = self.run.read_info(), present_status(self.run)
        for event in self._events.poll():
            self._take(event)
        ended = status not in ACTIVE and status != "stalled"
        told = Starting(
            self.began,
            self._clock(),
            tuple(self._steps(info)),
            self.run,
            first_step=self._seen.step is not None,
            earlier=self.earlier,
        )
        if not ended or told.first_step:
            return told
        cause = info.exit.cause if info.exit else f"it {status} before its first step"
        message = next((error.message for error in read_errors(self.run)), "")
        return replace(told, steps=_failed(told.steps), cause=cause, evidence=_telling(message, cause))

    def _steps(self, info: RunInfo) -> list[Step]:
        seen, ranks = self._seen, info.nproc
        started = min(ranks, len(list(self.run.logs_dir.glob("rank-*.log"))))
        joined = sorted(seen.headers.values())
        supervised = info.started if info.launcher_pid is not None else None
        done: list[tuple[str, float | None, str]] = [
            ("preflight", info.created, CHECKED),
            ("run directory", info.created, str(self.run.path)),
            ("supervisor", supervised, _supervised(info) if supervised else ""),
            (
                "ranks joined",
                joined[-1] if len(joined) >= ranks else None,
                _joined(started, len(joined), ranks),
            ),
            ("weights loaded", seen.loaded or seen.engine, seen.doing),
            ("rollout engine", seen.engine, ""),
            ("first rollout", seen.rollout, "sampling" if seen.rollout_began else ""),
            ("first step", seen.step, ""),
        ]
        steps = [Step(name, "done" if at else "waiting", said, at) for name, at, said in done]
        first = next((i for i, step in enumerate(steps) if step.state == "waiting"), None)
        if first is not None:
            steps[first] = replace(steps[first], state="doing")
        return steps

    def _take(self, event: AnyEvent) -> None:
        seen = self._seen
        if isinstance(event, Header) and event.rank >= 0:
            seen.headers.setdefault(event.rank, event.t)
        elif event.rank != 0:
            return
        elif isinstance(event, Metric) and event.step >= 1:
            seen.step = seen.step or event.t
        elif isinstance(event, Status):
            if event.state == "warmup":
                seen.doing = clean_line(event.message)
            elif event.state == "loaded":
                seen.loaded = event.t
        elif isinstance(event, Phase):
            self._take_phase(event)

    def _take_phase(self, event: Phase) -> None:
        seen = self._seen
        if event.name == "load" and event.state == "end":
            seen.engine = event.t
        elif event.name == "rollout" and event.step >= 1:
            if event.state == "begin":
                seen.rollout_began = seen.rollout_began or event.t
            else:
                seen.rollout = seen.rollout or event.t


def _telling(message: str, cause: str) -> tuple[str, ...]:
    """The first lines of an error that say more than the cause; none of those that only mark a column."""
    lines = [line.strip() for line in message.splitlines()]
    telling = [line for line in lines if line.strip("^~") and (line.partition(": ")[2] or line) not in cause]
    return tuple(telling[:EVIDENCE_LINES])


def _supervised(info: RunInfo) -> str:
    flag = "--master-port"
    port = f", port {info.command[info.command.index(flag) + 1]}" if flag in info.command[:-1] else ""
    return f"pid {info.supervisor_pid}{port}"


def _joined(started: int, joined: int, ranks: int) -> str:
    words = f"{joined}/{ranks} in the process group"
    return words if joined == ranks else f"{started}/{ranks} started, {words}; torch is imported first"


def seconds(starting: Starting) -> dict[str, float]:
    """How long each step took that is done, from the one before it on."""
    took, before = {}, starting.began
    for step in starting.steps:
        if step.at is not None:
            took[step.name] = max(0.0, step.at - before)
            before = max(before, step.at)
    return took
