"""A finished run as if it happened now: a faster clock, and readers that let out what is due by it."""

import re
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import accumulate
from math import inf
from pathlib import Path

import msgspec

from engine.events import AnyEvent, Metric, Status
from engine.findings import Finding, FindingsError, Fix
from rftui.runs.follow import EventFollower, LogFollower
from rftui.runs.info import ACTIVE, RunInfo
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView, present_status, status_of, tail_state

SLOWEST, FASTEST = 0.1, 10_000.0
QUIET_S = 60.0
"""Seconds of the run without a single event, after which the clock goes on to the next one."""
_CHUNK = 1 << 15
_AHEAD = 1 << 18
"""Bytes that are searched at once for steps."""
_TAIL_BYTES = 1 << 16
_Dated = tuple[float, AnyEvent]
_DATED = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)|(?<!warm-up )\bstep (\d+)\b")


class ReplayClock:
    """Unix time in a run that is played again, `speed` times as fast as it happened. For several threads."""

    def __init__(
        self, start: float, end: float, speed: float, real: Callable[[], float] = time.monotonic
    ) -> None:
        self.start, self.end = start, max(start, end)
        self.rewinds = 0
        """How often it was set back: who has read on must begin anew."""
        self._real, self._lock = real, threading.Lock()
        self._speed, self._paused = speed, False
        self._at, self._since = start, real()

    @classmethod
    def of(cls, run: RunDir, speed: float) -> "ReplayClock":
        """From the run's launch to its end. FindingsError for a run that has no end yet, or no such speed."""
        if not SLOWEST <= speed <= FASTEST:
            cause = f"a run cannot be played {speed:g} times as fast as it happened."
            fix = Fix(f"give a speed from {SLOWEST:g} to {FASTEST:g}")
            raise FindingsError([Finding("replay.speed", "error", cause, fixes=(fix,))])
        info = run.read_info()
        if present_status(run) in ACTIVE:
            fix = Fix("watch it as it happens", command=f"rft watch {run.in_commands}")
            raise FindingsError([Finding("replay.active", "error", f"{run.name} still runs.", fixes=(fix,))])
        end = info.ended or tail_state(run, _TAIL_BYTES).last_event
        return cls(info.started or info.created, end, speed)

    def stopped(self) -> "ReplayClock":
        """Another clock, which stands still at the time that this one tells now."""
        clock = ReplayClock(self(), self.end, self._speed)
        clock.pause(True)
        return clock

    def __call__(self) -> float:
        """Now; at the end it stands still."""
        with self._lock:
            return self._now()

    def _now(self) -> float:
        passed = 0.0 if self._paused else (self._real() - self._since) * self._speed
        return min(self.end, self._at + passed)

    @property
    def ended(self) -> bool:
        return self() >= self.end

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def speed(self) -> float:
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed."""
        with self._lock:
            self._at, self._since = self._now(), self._real()
            self._speed = min(FASTEST, max(SLOWEST, speed))

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        with self._lock:
            self._at, self._since = self._now(), self._real()
            self._paused = paused

    def jump(self, to: float) -> None:
        """Go to another time of the run."""
        with self._lock:
            self.rewinds += to < self._now()
            self._at, self._since = min(self.end, max(self.start, to)), self._real()


class ReplayEvents:
    """The events of a run up to the clock's time; read like those of an `EventFollower`."""

    def __init__(self, events_dir: Path, clock: ReplayClock) -> None:
        self.resumes = 0
        """How often the run had been resumed by now."""
        self._clock = clock
        names = sorted(path.name for path in events_dir.glob("*.jsonl"))
        self._files = [EventFollower(events_dir, only=name) for name in names]
        self._waiting: list[deque[_Dated]] = [deque() for _ in names]
        self._behind = 0

    @property
    def behind(self) -> int:
        """Bytes of files in which the last poll did not get up to now."""
        return self._behind

    @property
    def corrupt(self) -> int:
        return sum(file.corrupt for file in self._files)

    @property
    def unknown(self) -> int:
        return sum(file.unknown for file in self._files)

    def poll(self, max_bytes: int = 8 << 20) -> list[AnyEvent]:
        """Events that are due, by time, from at most about `max_bytes` of text."""
        now = inf if self._clock.ended else self._clock()
        due, self._behind = list[_Dated](), 0
        share = max(1, max_bytes // _CHUNK // max(1, len(self._files)))
        for file, waiting in zip(self._files, self._waiting, strict=True):
            due += self._due(file, waiting, now, share)
        events = [event for _, event in sorted(due, key=lambda dated: dated[0])]
        self.resumes += sum(isinstance(e, Status) and e.state == "resumed" and e.rank == 0 for e in events)
        heads = [waiting[0][0] for waiting in self._waiting if waiting]
        if not due and not self._behind and heads and min(heads) - now > QUIET_S and not self._clock.paused:
            self._clock.jump(min(heads))
        return events

    def _due(self, file: EventFollower, waiting: deque[_Dated], now: float, chunks: int) -> list[_Dated]:
        due: list[_Dated] = []
        while True:
            while waiting and waiting[0][0] <= now:
                due.append(waiting.popleft())
            if waiting:
                return due
            if chunks == 0:
                self._behind += file.behind
                return due
            chunks -= 1
            waiting.extend(_dated(file.poll(_CHUNK)))
            if not waiting and not file.behind:
                return due


def _dated(events: list[AnyEvent]) -> list[_Dated]:
    """Events with the time at which they are let out: in their order, even where the clock was set back."""
    times = list(accumulate((event.t for event in reversed(events)), min))
    return list(zip(reversed(times), events, strict=True))


class ReplayView(RunView):
    """A run as it was at the clock's time."""

    def __init__(self, run: RunDir, clock: ReplayClock) -> None:
        self._replayed = ReplayEvents(run.events_dir, clock)
        self._replay_clock = clock
        super().__init__(run, clock=clock, events=self._replayed)
        self._real = self.info

    def refresh(self, budget_s: float = 0.05) -> bool:
        """Read what has become due; what run.json says is known at the end only."""
        before, was = self.info, self.status
        changed = super().refresh(budget_s)
        if not self._replay_clock.ended:
            self.info = self._then(self._real)
            self.status = status_of(self.info, self.state, self._replay_clock())
        return changed or (self.info, self.status) != (before, was)

    def _refresh_info(self) -> bool:
        self.info = self._real
        changed = super()._refresh_info()
        self._real = self.info
        return changed

    def _then(self, real: RunInfo) -> RunInfo:
        return msgspec.structs.replace(
            real,
            status="running" if self.state.ranks else "launching",
            ended=None,
            exit=None,
            steps=self.state.step,
            supervisor_pid=None,
            attempt=1 + self._replayed.resumes,
        )


class ReplayLog:
    """Lines of one log by the time they came: a line with a date, or about a step, tells it.

    A line that does not comes with the next one that does, so never too early; after the last at the end.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self._file = LogFollower(path)
        self._lines: deque[str] = deque()
        self._undated: deque[str] = deque(maxlen=keep)

    def poll(self, now: float, step: int, ended: bool) -> list[str]:
        """Lines that are due at `now`, when `step` was done."""
        due: list[str] = []
        while self._lines or self._read():
            line = self._lines[0]
            came = _came(line, now, step)
            if came is False and not ended:
                return due
            self._undated.append(self._lines.popleft())
            if came is not None:
                due += self._undated
                self._undated.clear()
        if ended:
            due += self._undated
            self._undated.clear()
        return due

    def _read(self) -> bool:
        self._lines.extend(self._file.poll(_CHUNK))
        return bool(self._lines)


def _came(line: str, now: float, step: int) -> bool | None:
    """Whether a line had come by then; None where it does not tell."""
    found = _DATED.search(line)
    if found is None:
        return None
    if found[2]:
        return int(found[2]) <= step
    try:
        return datetime.fromisoformat(found[1]).timestamp() <= now
    except ValueError:
        return None


class StepTimes:
    """When the steps of a run that has ended were done; read as far as is asked for."""

    def __init__(self, run: RunDir) -> None:
        self._events = EventFollower(run.events_dir, only="rank-00000.jsonl")
        self._times, self._steps = list[float](), list[int]()
        self._whole = False

    def at(self, time: float) -> int:
        """The newest step that was done by then; 0 before the first."""
        while not self._whole and (not self._times or self._times[-1] <= time):
            done = [event for event in self._events.poll(_AHEAD) if isinstance(event, Metric)]
            self._times += [event.t for event in done]
            self._steps += [event.step for event in done]
            self._whole = not self._events.behind
        found = bisect_right(self._times, time)
        return self._steps[found - 1] if found else 0


def time_of_step(run: RunDir, step: int) -> float | None:
    """When a step was done, the first time; None where none so late was."""
    events = EventFollower(run.events_dir, only="rank-00000.jsonl")
    while True:
        for event in events.poll(_AHEAD):
            if isinstance(event, Metric) and event.step >= step:
                return event.t
        if not events.behind:
            return None
