"""A run as a screen sees it: live, finished or crashed, always through the same reading of its folder."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from engine.events import Alert, AnyEvent, CheckpointEvent, Gpu, Sample
from engine.findings import FindingsError
from rftui.runs import planned
from rftui.runs.compared import Compared, compare
from rftui.runs.follow import EventFollower
from rftui.runs.info import ACTIVE, RunInfo, effective_status, supervisor_alive
from rftui.runs.rundir import RunDir
from rftui.runs.series import Series
from rftui.runs.state import RankState, RunState

_SLICE = 1 << 18
_PREVIEW_BYTES = 1 << 20
_PREVIEW_ABOVE = 4 << 20
_STATUS_TAIL_BYTES = 1 << 16


class EventSource(Protocol):
    """Where events come from: files that grow (`EventFollower`), or a run that is played again."""

    @property
    def behind(self) -> int: ...

    @property
    def corrupt(self) -> int: ...

    @property
    def unknown(self) -> int: ...

    def poll(self, max_bytes: int) -> list[AnyEvent]: ...


class _Feed:
    """A source and the state its events add up to."""

    def __init__(self, source: EventSource) -> None:
        self.follower = source
        self.state = RunState()

    def advance(self, deadline: float) -> bool:
        """Read until caught up or the deadline (`time.perf_counter`); whether anything was new."""
        new = False
        while True:
            events = self.follower.poll(_SLICE)
            self.state.apply(events)
            new = new or bool(events)
            if not self.follower.behind or time.perf_counter() >= deadline:
                return new


def tail_state(run: RunDir, tail_bytes: int, only: str = "") -> RunState:
    """What the newest `tail_bytes` of each event file add up to, or of the `only` one."""
    feed = _Feed(EventFollower(run.events_dir, tail_bytes=tail_bytes, only=only))
    feed.advance(float("inf"))
    return feed.state


def status_of(info: RunInfo, state: RunState, now: float) -> str:
    """`effective_status` by the ages of what `state` last saw; `now` in Unix seconds.

    Before two steps are done nobody knows how long one takes, so no run is called stalled.
    """
    return effective_status(
        info,
        heartbeat_age=now - (state.last_event or info.started or info.created),
        progress_age=now - state.last_progress if state.step_seconds else None,
        usual_step=state.usual_step,
    )


def present_status(run: RunDir) -> str:
    """`effective_status`, never "stalled"; reads events only where the supervisor is on another host."""
    info = run.read_info()
    if info.status not in ACTIVE or supervisor_alive(info) is not None:
        return effective_status(info)
    last = tail_state(run, _STATUS_TAIL_BYTES).last_event
    return effective_status(info, heartbeat_age=time.time() - (last or info.started or info.created))


def goes_on(run: RunDir, *, unreadable: bool) -> bool:
    """Whether a run is active; `unreadable` is the answer where nothing tells, for want of files or sense."""
    try:
        return present_status(run) in ACTIVE
    except (FindingsError, OSError):
        return unreadable


class RunView:
    """State of one run, brought up to date by `refresh`.

    A long run shows its newest part at once (`complete` is False) while the whole is read over the next
    refreshes; then the whole takes its place. `clock` tells Unix time, for ages; `events` is where they come
    from, by default the run's files.
    """

    def __init__(
        self, run_dir: RunDir, *, clock: Callable[[], float] = time.time, events: EventSource | None = None
    ) -> None:
        self.run_dir = run_dir
        self.info = RunInfo(name=run_dir.name, status="lost", created=0.0)
        self.info_problem = "run.json was not read yet"
        """Why `info` holds nothing but the name; empty when run.json was read."""
        self.status: str = self.info.status
        """`effective_status`: the status in run.json, or "lost" or "stalled"."""
        self.planned = planned.read(run_dir)
        self._clock = clock
        self._info_version: tuple[int, ...] = ()
        sizes = [path.stat().st_size for path in run_dir.events_dir.glob("*.jsonl")]
        self._whole = _Feed(events or EventFollower(run_dir.events_dir))
        self._newest: _Feed | None = None
        if events is None and sum(sizes) > _PREVIEW_ABOVE:
            tail = EventFollower(run_dir.events_dir, tail_bytes=_PREVIEW_BYTES // len(sizes))
            self._newest = _Feed(tail)

    def refresh(self, budget_s: float = 0.05) -> bool:
        """Read what is new for about `budget_s` seconds; whether anything to show has changed."""
        deadline = time.perf_counter() + budget_s
        changed = self._refresh_info()
        if self._newest is not None:
            changed = self._newest.advance(deadline) or changed
        new = self._whole.advance(deadline)
        if self._newest is None:
            changed = new or changed
        elif not self._whole.follower.behind:
            self._newest, changed = None, True
        status = status_of(self.info, self.state, self._clock())
        changed, self.status = changed or status != self.status, status
        return changed

    def load(self) -> "RunView":
        """Read everything there is."""
        self.refresh(float("inf"))
        return self

    @property
    def complete(self) -> bool:
        """Whether the whole run was read, not just its newest part."""
        return self._newest is None and not self._whole.follower.behind

    @property
    def behind(self) -> int:
        """Bytes of events still to be read."""
        return self._whole.follower.behind

    @property
    def skipped(self) -> int:
        """Lines that were no events of a known kind."""
        return self._whole.follower.corrupt + self._whole.follower.unknown

    @property
    def state(self) -> RunState:
        """All that the events add up to; the properties below are shortcuts into it."""
        return (self._newest or self._whole).state

    @property
    def compared(self) -> list[Compared]:
        """Predicted and measured memory per phase; empty for a run without a plan."""
        return compare(self.planned, self.state.phase_memory) if self.planned else []

    @property
    def step(self) -> int:
        return self.state.step

    @property
    def total_steps(self) -> int | None:
        return self.state.total_steps or self.info.total_steps

    @property
    def series(self) -> dict[str, Series]:
        return self.state.series

    @property
    def latest(self) -> dict[str, float]:
        return self.state.latest

    @property
    def ranks(self) -> dict[int, RankState]:
        return self.state.ranks

    @property
    def phase_totals(self) -> dict[int, dict[str, float]]:
        return self.state.phase_totals

    @property
    def gpus(self) -> dict[tuple[str, int], Gpu]:
        return self.state.gpus

    @property
    def alerts(self) -> dict[str, Alert]:
        return self.state.alerts

    @property
    def samples(self) -> deque[Sample]:
        return self.state.samples

    @property
    def checkpoints(self) -> dict[int, CheckpointEvent]:
        return self.state.checkpoints

    @property
    def step_seconds(self) -> float:
        return self.state.step_seconds

    def _refresh_info(self) -> bool:
        """Read run.json again when it was replaced; a damaged one keeps what was known and says so."""
        version: tuple[int, ...] = ()
        with suppress(OSError):
            found = self.run_dir.info_path.stat()
            version = (found.st_mtime_ns, found.st_ino, found.st_size)
        if version == self._info_version and version:
            return False
        before = self.info_problem
        try:
            self.info, self.info_problem = self.run_dir.read_info(), ""
        except FindingsError as error:
            self.info_problem = error.findings[0].cause
        changed = version != self._info_version or self.info_problem != before
        self._info_version = version
        return changed
