"""What the events of a run add up to: the numbers, phases, ranks, GPUs and notices that screens show."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import nan
from statistics import median
from typing import Any

from engine.events import (
    Alert,
    AnyEvent,
    CheckpointEvent,
    Collective,
    Event,
    Gpu,
    Header,
    Heartbeat,
    Host,
    Memory,
    Metric,
    Phase,
    Sample,
    Status,
)
from rftui.runs.series import Series

KEEP_SAMPLES = 200
KEEP_PHASE_STEPS = 256
KEEP_GPU_SAMPLES = 120
KEEP_ALERTS = 200
KEEP_WAIT_STEPS = 16
"""Steps over which waiting is counted."""
_KEEP_INTERVALS = 32
_MAX_STEP = 2**31 - 1


@dataclass(slots=True)
class RankState:
    """One rank as last heard of. Times are Unix seconds, `collectives` counts those it told of."""

    rank: int
    header: Header | None = None
    last_seen: float = 0.0
    step: int = -1
    phase: str = ""
    phase_since: float = 0.0
    memory: Memory | None = None
    memory_peak: int = 0
    phase_memory: dict[str, int] = field(default_factory=dict)
    """phase → the most bytes held in it."""
    collectives: int = 0
    last_collective: Collective | None = None
    heartbeat: Heartbeat | None = None
    waited: dict[int, float] = field(default_factory=dict)
    """step → seconds in collectives that need all ranks, of the last `KEEP_WAIT_STEPS`."""
    spent: dict[int, float] = field(default_factory=dict)
    """step → seconds in phases, of the same steps."""
    status: str = ""
    message: str = ""


class RunState:
    """Folds events, in the order they were written per file, into the present state of a run.

    A resumed run repeats the steps after its checkpoint. Rank 0 then says status `resumed` with the
    checkpoint's step N, and everything later than N is dropped (`rewind`). Should that line be missing,
    the first metric after a new header rewinds to just before its own step.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.latest: dict[str, float] = {}
        self.step = 0
        self.total_steps: int | None = None
        self.ranks: dict[int, RankState] = {}
        self.supervisor = RankState(-1)
        self.phase_totals: dict[int, dict[str, float]] = {}
        """step → phase → seconds on rank 0, of the last `KEEP_PHASE_STEPS` steps, oldest first."""
        self.step_spans: dict[int, tuple[float, float]] = {}
        """step → when its first phase began on rank 0, and when its last ended or the next step began."""
        self.longest_phase: dict[str, float] = {}
        self.tokens = Series()
        """Response tokens of the whole run up to each step, where throughput and step time are told."""
        self.gpus: dict[tuple[str, int], Gpu] = {}
        self.gpu_history: dict[tuple[str, int], deque[Gpu]] = {}
        self.gpu_peaks: dict[tuple[str, int], int] = {}
        """The most memory in use that was seen, in bytes."""
        self.hosts: dict[str, Host] = {}
        self.samples: deque[Sample] = deque(maxlen=KEEP_SAMPLES)
        self.alerts: dict[str, Alert] = {}
        """Alerts raised and not cleared, by finding id."""
        self.alert_log: deque[Alert] = deque(maxlen=KEEP_ALERTS)
        self.checkpoints: dict[int, CheckpointEvent] = {}
        """Checkpoints on disk by step."""
        self.failed_checkpoint: CheckpointEvent | None = None
        """The last failure to save that no later success has made good."""
        self.last_event = 0.0
        """Unix time of the newest event of any rank."""
        self.last_progress = 0.0
        """Unix time of the newest step, phase or status of any rank."""
        self._new_attempt = False
        self._spanned = -1
        """The step whose span goes on until another begins; −1 across a restart."""
        self._step_times: deque[float] = deque(maxlen=_KEEP_INTERVALS + 1)
        self._fold: dict[type, Callable[[Any], None]] = {
            Header: self._header,
            Metric: self._metric,
            Phase: self._phase,
            Memory: self._memory,
            Collective: self._collective,
            Heartbeat: self._heartbeat,
            Gpu: self._gpu,
            Host: self._host,
            Sample: self.samples.append,
            Alert: self._alert,
            CheckpointEvent: self._checkpoint,
            Status: self._status,
        }

    def apply(self, events: Iterable[AnyEvent]) -> None:
        """Take in events."""
        fold = self._fold
        for event in events:
            fold[type(event)](event)

    @property
    def phase_memory(self) -> dict[str, int]:
        """phase → the most bytes that any rank of the present attempt held in it."""
        first = self.ranks[0].header if 0 in self.ranks else None
        found: dict[str, int] = {}
        for rank in self.ranks.values():
            if first is None or rank.rank < first.world_size:  # an earlier attempt may have had more
                for phase, held in rank.phase_memory.items():
                    found[phase] = max(held, found.get(phase, 0))
        return found

    @property
    def step_seconds(self) -> float:
        """Median time between the last steps; 0 before the second."""
        times = self._step_times
        return median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0

    @property
    def usual_step(self) -> float:
        """Seconds within which something should begin or end: a median step, or the longest run so far of
        the phase that rank 0 is in."""
        phase = self.ranks[0].phase if 0 in self.ranks else ""
        return max(self.step_seconds, self.longest_phase.get(phase, 0.0))

    def rewind(self, step: int) -> None:
        """Forget what was told of steps after `step`: a resumed run does them again."""
        for name, series in list(self.series.items()):
            series.truncate(min(step, _MAX_STEP - 1) + 1)
            if len(series):
                self.latest[name] = series.values[-1]
            else:
                del self.series[name], self.latest[name]
        self.tokens.truncate(min(step, _MAX_STEP - 1) + 1)
        self.step = max(0, min(self.step, step))
        self.step_spans = {s: span for s, span in self.step_spans.items() if s <= step}
        self.phase_totals = {s: totals for s, totals in self.phase_totals.items() if s <= step}
        kept = [sample for sample in self.samples if sample.step <= step]
        self.samples.clear()
        self.samples.extend(kept)
        self._step_times.clear()

    def _rank(self, event: Event) -> RankState:
        """The state of the event's rank, marked as seen."""
        if event.rank < 0:
            return self.supervisor
        state = self.ranks.get(event.rank)
        if state is None:
            state = self.ranks[event.rank] = RankState(event.rank)
        state.last_seen = max(state.last_seen, event.t)
        self.last_event = max(self.last_event, event.t)
        return state

    def _header(self, event: Header) -> None:
        self.ranks.pop(event.rank, None)
        self._rank(event).header = event
        self.alerts = {
            id: alert for id, alert in self.alerts.items() if alert.rank != event.rank or alert.t > event.t
        }
        if event.rank == 0:
            self._new_attempt = True
            self._spanned = -1

    def _metric(self, event: Metric) -> None:
        step, t = event.step, event.t
        if event.rank > 0 or not 0 <= step <= _MAX_STEP:
            return
        if self._new_attempt:
            self._new_attempt = False
            if step <= self.step:
                self.rewind(step - 1)
        if step > self.step:
            self._step_times.append(t)
        self.step = max(self.step, step)
        self.last_event = max(self.last_event, t)
        self.last_progress = max(self.last_progress, t)
        all_series, latest = self.series, self.latest
        for name, value in event.values.items():
            number = nan if value is None else value
            series = all_series.get(name)
            if series is None:
                series = all_series[name] = Series()
            series.append(step, t, number)
            latest[name] = number
        rate, seconds = event.values.get("throughput/tokens_per_s"), event.values.get("time/step")
        if rate is not None and seconds is not None:
            before = self.tokens.values[-1] if len(self.tokens) else 0.0
            self.tokens.append(step, t, before + rate * seconds)

    def _phase(self, event: Phase) -> None:
        rank = self._rank(event)
        self.last_progress = max(self.last_progress, event.t)
        rank.step = event.step
        rank.phase_since = event.t
        if event.rank == 0:
            self._span(event)
        if event.state == "begin":
            rank.phase = event.name
            return
        rank.phase = ""
        _add(rank.spent, event.step, event.seconds)
        if event.rank == 0:
            totals = self.phase_totals.setdefault(event.step, {})
            totals[event.name] = totals.get(event.name, 0.0) + event.seconds
            self.longest_phase[event.name] = max(self.longest_phase.get(event.name, 0.0), event.seconds)
            if len(self.phase_totals) > KEEP_PHASE_STEPS:
                oldest = next(iter(self.phase_totals))
                del self.phase_totals[oldest]
                self.step_spans.pop(oldest, None)

    def _span(self, event: Phase) -> None:
        """Extend the span of the event's step, and end that of the step before."""
        begin = self.step_spans.get(event.step, (event.t, event.t))[0]
        if self._spanned not in (-1, event.step) and self._spanned in self.step_spans:
            self.step_spans[self._spanned] = (self.step_spans[self._spanned][0], event.t)
        self._spanned = event.step
        self.step_spans[event.step] = (begin, event.t)

    def _memory(self, event: Memory) -> None:
        rank = self._rank(event)
        rank.memory = event
        rank.memory_peak = max(rank.memory_peak, event.peak or event.rss)
        rank.phase_memory[event.phase] = max(rank.phase_memory.get(event.phase, 0), event.held)

    def _collective(self, event: Collective) -> None:
        rank = self._rank(event)
        rank.collectives += 1
        rank.last_collective = event
        if event.op.startswith("all_"):
            _add(rank.waited, event.step, event.seconds)

    def _heartbeat(self, event: Heartbeat) -> None:
        rank = self._rank(event)
        if rank.phase != event.phase:
            rank.phase, rank.phase_since = event.phase, event.t
        rank.step = event.step
        rank.heartbeat = event

    def _gpu(self, event: Gpu) -> None:
        key = (event.host, event.index)
        self.gpus[key] = event
        self.gpu_peaks[key] = max(self.gpu_peaks.get(key, 0), event.memory_used or 0)
        self.gpu_history.setdefault(key, deque(maxlen=KEEP_GPU_SAMPLES)).append(event)

    def _host(self, event: Host) -> None:
        self.hosts[event.host] = event

    def _alert(self, event: Alert) -> None:
        self.alert_log.append(event)
        if event.state == "raised":
            self.alerts[event.finding.id] = event
        else:
            self.alerts.pop(event.finding.id, None)

    def _checkpoint(self, event: CheckpointEvent) -> None:
        if event.state == "complete":
            self.checkpoints[event.step] = event
            self.failed_checkpoint = None
        elif event.state == "deleted":
            self.checkpoints.pop(event.step, None)
        else:
            self.failed_checkpoint = event

    def _status(self, event: Status) -> None:
        self.last_progress = max(self.last_progress, event.t)
        rank = self._rank(event)
        rank.status, rank.message = event.state, event.message
        if event.total_steps > 0:
            self.total_steps = event.total_steps
        if event.state == "resumed" and event.rank == 0:
            self.rewind(event.step)
            self._new_attempt = False


def _add(by_step: dict[int, float], step: int, seconds: float) -> None:
    """Add to the sum of a step; the oldest steps go."""
    by_step[step] = by_step.get(step, 0.0) + seconds
    while len(by_step) > KEEP_WAIT_STEPS:
        del by_step[next(iter(by_step))]
