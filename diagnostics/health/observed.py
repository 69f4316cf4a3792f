"""The recent past of a run, folded from its events: what the health rules look at. Bounded in memory."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite, nan

from engine.events import (
    AnyEvent,
    Collective,
    Gpu,
    Header,
    Heartbeat,
    Host,
    Memory,
    Metric,
    Phase,
    Status,
)
from engine.health.stragglers import Waits

KEEP_STEPS = 64
"""Steps that metrics, phase times, waits and memory are kept of."""
KEEP_SAMPLES = 120
"""Samples of a GPU or host."""
ENDED = ("finished", "stopped", "failed")


@dataclass(slots=True)
class RankSeen:
    """One rank. Times are Unix seconds."""

    rank: int
    header: Header | None = None
    phases: list[str] = field(default_factory=list)
    """The phases it is in, the innermost last."""
    step: int = 0
    since: float = 0.0
    """When a phase last began or ended."""
    last_seen: float = 0.0
    heartbeat: Heartbeat | None = None
    durations: dict[str, deque[tuple[int, float]]] = field(default_factory=dict)
    """phase → step and seconds."""
    memory: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)
    """phase → step and the bytes held in it."""
    ended: bool = False

    @property
    def phase(self) -> str:
        """The innermost phase; empty between phases."""
        return self.phases[-1] if self.phases else ""


@dataclass(slots=True)
class NotFinite:
    """The first value of the run that was no number."""

    metric: str
    step: int


class Observed:
    """What all events so far add up to. A header of rank 0 begins a new attempt, which forgets the ranks."""

    def __init__(self) -> None:
        self.metrics: dict[str, deque[tuple[int, float]]] = {}
        """metric → step and value, the newest last."""
        self.first: dict[str, list[float]] = {}
        """metric → its first values, for comparison."""
        self.not_finite: NotFinite | None = None
        self.step = 0
        self.ranks: dict[int, RankSeen] = {}
        self.waits: dict[tuple[int, str], Waits] = {}
        """(step, group) → seconds that each rank waited in collectives that need all of them."""
        self.gpus: dict[tuple[str, int], deque[Gpu]] = {}
        self.hosts: dict[str, deque[Host]] = {}
        self.attempt_began = 0.0

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Fold events in, in the order they were written per file."""
        for event in events:
            self._take(event)

    def values(self, metric: str, steps: int) -> list[float]:
        """The newest `steps` values of a metric, the newest last; empty where fewer are there, or finite."""
        newest = [value for _, value in self.metrics.get(metric, ())][-steps:]
        return newest if len(newest) == steps and all(map(isfinite, newest)) else []

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Gpu):
            self.gpus.setdefault((event.host, event.index), deque(maxlen=KEEP_SAMPLES)).append(event)
        elif isinstance(event, Host):
            self.hosts.setdefault(event.host, deque(maxlen=KEEP_SAMPLES)).append(event)
        elif event.rank >= 0:
            self._take_of_rank(event)

    def _take_of_rank(self, event: AnyEvent) -> None:
        if isinstance(event, Header):
            self._header(event)
        rank = self.ranks.setdefault(event.rank, RankSeen(event.rank))
        rank.last_seen = max(rank.last_seen, event.t)
        if isinstance(event, Phase):
            _phase(rank, event)
        elif isinstance(event, Heartbeat):
            rank.heartbeat = event
        elif isinstance(event, Memory):
            rank.memory.setdefault(event.phase, deque(maxlen=KEEP_STEPS)).append((event.step, event.held))
        elif isinstance(event, Status):
            self._status(rank, event)
        elif isinstance(event, Collective) and event.op.startswith("all_"):
            self._collective(event)
        elif isinstance(event, Metric) and event.rank == 0:
            self._metric(event)

    def _header(self, event: Header) -> None:
        self.ranks[event.rank] = RankSeen(event.rank, header=event, since=event.t)
        if event.rank == 0:
            self.attempt_began = event.t
            self.waits.clear()

    def _status(self, rank: RankSeen, event: Status) -> None:
        rank.since = max(rank.since, event.t)
        rank.ended = event.state in ENDED
        if event.state == "resumed" and event.rank == 0:
            self._rewind(event.step)

    def _rewind(self, step: int) -> None:
        """Steps after the checkpoint are done again."""
        self.step = step
        for kept in self.metrics.values():
            while kept and kept[-1][0] > step:
                kept.pop()
        if self.not_finite and self.not_finite.step > step:
            self.not_finite = None

    def _collective(self, event: Collective) -> None:
        of_step = self.waits.setdefault((event.step, event.group), {})
        of_step[event.rank] = of_step.get(event.rank, 0.0) + event.seconds
        while len(self.waits) > KEEP_STEPS:
            del self.waits[next(iter(self.waits))]

    def _metric(self, event: Metric) -> None:
        self.step = max(self.step, event.step)
        for name, value in event.values.items():
            number = nan if value is None else value
            self.metrics.setdefault(name, deque(maxlen=KEEP_STEPS)).append((event.step, number))
            if not isfinite(number):
                self.not_finite = self.not_finite or NotFinite(name, event.step)
            elif len(first := self.first.setdefault(name, [])) < 5:
                first.append(number)


def _phase(rank: RankSeen, event: Phase) -> None:
    rank.step, rank.since = event.step, event.t
    if event.state == "begin":
        rank.phases.append(event.name)
        return
    if event.name in rank.phases:
        del rank.phases[rank.phases.index(event.name) :]
    rank.durations.setdefault(event.name, deque(maxlen=KEEP_STEPS)).append((event.step, event.seconds))
