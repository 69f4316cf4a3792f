"""A launch as a checklist read from the run directory: what has happened, what is being waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from textual.content import Content

from diagnostics.knowledge.diagnosis import Diagnosis
from engine.config.values import show
from engine.events import AnyEvent, Header, Metric, Phase, Status
from engine.findings import FindingsError
from rftui.launch.outcome import read_errors
from rftui.runs.diagnosis import applicable
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE, RunInfo
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status
from rftui.tui.text import clean_line, duration

State = Literal["waiting", "doing", "done", "failed"]
_GLYPHS: dict[State, tuple[str, str]] = {
    "waiting": ("○", "$quiet"),
    "doing": ("◌", "bold $accent"),
    "done": ("✔", "$success"),
    "failed": ("✖", "bold $error"),
}


@dataclass(frozen=True)
class Step:
    """One line of the list. `at`: Unix time when it was done."""

    name: str
    state: State = "waiting"
    said: str = ""
    at: float | None = None


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

    @property
    def failed(self) -> bool:
        return bool(self.cause)


NAMES = (
    "preflight",
    "run directory",
    "supervisor",
    "ranks started",
    "process group",
    "weights loaded",
    "rollout engine",
    "first rollout",
    "first step",
)


def not_started(began: float) -> Starting:
    """The checks before anything exists."""
    steps = [Step(name) for name in NAMES]
    steps[0] = replace(steps[0], state="doing", said="model, data, reward, memory, ports")
    return Starting(began, began, tuple(steps))


def refused(before: Starting, error: FindingsError) -> Starting:
    """Nothing was started: what was checked speaks against it."""
    wrong = [finding.cause for finding in error.findings if finding.severity == "error"]
    now = time.time()
    reached = [replace(step, state="failed") if step.state == "doing" else step for step in before.steps]
    return replace(before, now=now, steps=tuple(reached), cause=wrong[0], evidence=tuple(wrong[1:]))


@dataclass
class _Seen:
    """What events have told so far: Unix times."""

    headers: dict[int, float] = field(default_factory=dict)
    started: float | None = None
    loaded: float | None = None
    engine: float | None = None
    rollout_began: float | None = None
    rollout: float | None = None
    step: float | None = None
    doing: str = ""


class StartFollower:
    """Reads a run that is starting. `began`: when the launch was asked for."""

    def __init__(self, run: RunDir, began: float, clock: Callable[[], float] = time.time) -> None:
        self.run = run
        self.began = began
        self._clock = clock
        self._events = EventFollower(run.events_dir)
        self._seen = _Seen()

    def poll(self) -> Starting:
        """The list as it is now; FindingsError where the run's directory cannot be read."""
        info, status = self.run.read_info(), present_status(self.run)
        for event in self._events.poll():
            self._take(event)
        ended = status not in ACTIVE and status != "stalled"
        steps = self._steps(info)
        if ended and self._seen.step is None:
            cause = info.exit.cause if info.exit else f"it {status} before its first step"
            steps = [replace(step, state="failed") if step.state == "doing" else step for step in steps]
            errors = [line for error in read_errors(self.run)[:1] for line in error.message.splitlines()[:6]]
            return Starting(self.began, self._clock(), tuple(steps), self.run, cause, tuple(errors))
        return Starting(
            self.began, self._clock(), tuple(steps), self.run, first_step=self._seen.step is not None
        )

    def _steps(self, info: RunInfo) -> list[Step]:
        seen, ranks = self._seen, info.nproc
        logs = len(list(self.run.logs_dir.glob("rank-*.log")))
        joined = sorted(seen.headers.values())
        if logs >= ranks and seen.started is None:
            seen.started = min([self._clock(), *joined])
        supervised = info.started if info.launcher_pid is not None else None
        done: list[tuple[str, float | None, str]] = [
            ("preflight", info.created, ""),
            ("run directory", info.created, str(self.run.path)),
            ("supervisor", supervised, f"pid {info.supervisor_pid}" if supervised else ""),
            ("ranks started", seen.started, f"{min(logs, ranks)}/{ranks}"),
            ("process group", joined[-1] if len(joined) >= ranks else None, _joined(len(joined), ranks)),
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


def _joined(joined: int, ranks: int) -> str:
    words = f"{joined}/{ranks} ranks"
    return words if joined else f"{words}; torch is imported first"


def checklist(starting: Starting, width: int) -> Content:
    """A line per step: glyph, name, seconds since the step before, what it says."""
    lines = []
    before = starting.began
    for step in starting.steps:
        glyph, colour = _GLYPHS[step.state]
        took = ""
        if step.at is not None:
            took, before = duration(max(0.0, step.at - before)), max(before, step.at)
        elif step.state in ("doing", "failed"):
            took = duration(max(0.0, starting.now - before))
        name = (f"{glyph} {step.name:<16}", colour)
        said = clean_line(step.said)[: max(0, width - 28)]
        lines.append(Content.assemble(name, f"{took:>7}  ", (said, "$quiet")))
    total = duration(max(0.0, starting.now - starting.began))
    lines.append(Content.styled(f"{'':18}{total:>7}  since the launch", "$quiet"))
    if starting.failed:
        lines += [Content(""), Content.styled(f"✖ {clean_line(starting.cause)}", "bold $error")]
        lines += [Content.styled(f"  {clean_line(line)}", "$quiet") for line in starting.evidence]
    return Content("\n").join(lines)


def diagnosed(diagnosis: Diagnosis | None) -> Content:
    """The causes that were found, with the line that shows them and what to do."""
    if diagnosis is None or not diagnosis.findings:
        return Content.styled("no cause is known that fits: read the logs", "$quiet italic")
    fix = applicable(diagnosis)
    lines: list[Content] = []
    for found in diagnosis.findings[:2]:
        lines.append(Content.assemble(("✖ ", "$error"), (clean_line(found.title), "bold")))
        lines.append(Content(clean_line(found.meaning)))
        for seen in found.evidence[:2]:
            words = f"  {seen.file}:{seen.line}: {seen.text}"
            lines.append(Content.styled(clean_line(words), "$quiet"))
        for each in found.fixes:
            mark = ("f ▸ ", "bold $accent") if each is fix else ("  → ", "$quiet")
            edits = ", ".join(f"{key} = {show(value)}" for key, value in each.set.items())
            how = f"  ({clean_line(edits or each.command)})" if edits or each.command else ""
            lines.append(Content.assemble(mark, clean_line(each.text), (how, "$quiet")))
    return Content("\n").join(lines)
