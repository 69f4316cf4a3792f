"""Why each value: what it is good for, and what the nearest other value would lead to, in numbers."""

from collections.abc import Callable
from typing import Any

from engine.config.choices import zero_stage
from engine.config.values import show
from engine.footprint.rollout import kv_capacity
from engine.footprint.speed import Times, estimate
from engine.footprint.terms import Footprint
from rftui.plan.fit import Candidate
from rftui.plan.knobs import (
    BUDGET,
    FSDP,
    MICRO,
    MICRO_ROLLOUT,
    PACKING,
    REFERENCE,
    SHARD,
    STAGE,
    TP,
    UTIL,
    has_reference,
    tensor_parallel_sizes,
    wider_sizes,
    with_config,
)
from rftui.plan.request import Request
from rftui.plan.words import gb, percent

NOTICED = 0.005
"""A relative change of time below this is none."""
NOTICED_BYTES = 5 * 10**7


def reasons(candidate: Candidate, request: Request) -> dict[str, str]:
    """One sentence for every chosen value."""
    why = _Why(candidate, request)
    return {key: why(key) for key in candidate.values}


def difference(candidate: Candidate, other_times: Times, other: Footprint) -> str:
    """What another plan would cost: `+14 % time, 12.0 GB less`.

    A faster one was passed over for what it risks (`search.UNUSUAL`), or for the memory it takes.
    """
    change = other_times.iteration / candidate.times.iteration - 1
    size = other.peak - candidate.footprint.peak
    words = []
    if other_times.calibrated:
        words.append("the same time" if abs(change) < NOTICED else f"{percent(change)} time")
    if abs(size) >= NOTICED_BYTES:
        words.append(f"{gb(abs(size))} {'more' if size > 0 else 'less'}")
    if other_times.calibrated and change <= -NOTICED:
        words.append("too little gained")
    return ", ".join(words) or "no less memory"


class _Why:
    """The reasons of one plan."""

    def __init__(self, candidate: Candidate, request: Request) -> None:
        self.candidate, self.request = candidate, request
        self.job = candidate.job
        self.tell: dict[str, Callable[[], str]] = {
            FSDP: self._strategy,
            STAGE: self._stage,
            SHARD: self._shard,
            TP: self._tensor_parallel,
            UTIL: self._share,
            MICRO: lambda: self._size(MICRO, "update", 2 * self.job.config.batch.micro_train_batch_size),
            BUDGET: self._budget,
            MICRO_ROLLOUT: lambda: self._size(
                MICRO_ROLLOUT, "logprob", 2 * self.job.config.batch.micro_rollout_batch_size
            ),
            PACKING: lambda: f"no padding: sequences of {self.job.shape.family} stay apart in one row",
            REFERENCE: self._reference,
        }

    def __call__(self, key: str) -> str:
        return self.tell[key]() if key in self.tell else self._switch(key)

    def _without(self, values: dict[str, Any]) -> str:
        """What other values would lead to."""
        job = with_config(self.job, values)
        footprint = self.request.footprint(job)
        if footprint.peak > self.job.place.free:
            worst = footprint.worst
            return f"{worst.phase} would need {gb(worst.bytes)}"
        if footprint.host_bytes > self.job.place.host_memory:
            return f"{gb(footprint.host_bytes)} of host memory, {gb(self.job.place.host_memory)} are there"
        return difference(self.candidate, estimate(job, self.request.lengths), footprint)

    def _with(self, key: str, value: Any) -> str:
        return f"with {show(value)}: {self._without({key: value})}"

    def _switch(self, key: str) -> str:
        value = self.candidate.values[key]
        return f"{'without' if value else 'with'} it: {self._without({key: not value})}"

    def _bytes(self, phase: str) -> int:
        return next(p.bytes for p in self.candidate.footprint.phases if p.phase == phase)

    def _strategy(self) -> str:
        ranks = self.job.place.ranks
        if self.candidate.values[FSDP] is False:
            stage = zero_stage(self.job.config)
            return f"DeepSpeed ZeRO {stage}; with FSDP2: {self._without({FSDP: True, STAGE: None})}"
        if ranks == 1:
            return "FSDP2 needs nothing that is not installed; one rank holds everything"
        if not self.request.has_deepspeed or not self.request.is_open(STAGE):
            return (
                f"FSDP2 shards parameters, gradients and optimizer states over {self.job.shard_ranks} ranks"
            )
        other = self._without({FSDP: False, STAGE: 2, SHARD: None})
        return f"shards all states over {self.job.shard_ranks} ranks; with DeepSpeed ZeRO 2: {other}"

    def _stage(self) -> str:
        stage = self.candidate.values[STAGE]
        other = 3 if stage == 2 else 2
        return self._with(STAGE, other)

    def _shard(self) -> str:
        return (
            f"shards within a machine, copies between them; sharded over all: {self._without({SHARD: None})}"
        )

    def _tensor_parallel(self) -> str:
        size, sizes = self.candidate.values[TP], tensor_parallel_sizes(self.job)
        position = sizes.index(size) if size in sizes else 0
        others = [sizes[i] for i in (position - 1, position + 1) if 0 <= i < len(sizes)]
        told = [self._with(TP, other) for other in others]
        if beyond := next(wider_sizes(self.job), None):
            told.append(f"beyond the fast link {self._with(TP, beyond)}")
        return "; ".join(told) or f"{size} is the only size that divides ranks and heads"

    def _share(self) -> str:
        rollout = next(p for p in self.candidate.footprint.phases if p.phase == "rollout")
        engine = sum(t.bytes for t in rollout.terms if t.where == "engine")
        capacity = kv_capacity(self.job)
        held = capacity.tokens // capacity.max_len
        wanted = min(capacity.demand, capacity.most)
        if held >= wanted:
            cache = f"a cache for all {wanted} responses at once, at their longest"
        else:
            cache = f"a cache for {held} of {wanted} responses at their longest, the most that fits"
        return f"{gb(engine)} for weights and {cache}"

    def _size(self, key: str, phase: str, larger: int) -> str:
        return f"{phase} needs {gb(self._bytes(phase))}; {self._with(key, larger)}"

    def _budget(self) -> str:
        if self.candidate.values[BUDGET] is None:
            return "counted by micro_train_batch_size"
        return self._size(BUDGET, "update", 2 * self.candidate.values[BUDGET])

    def _reference(self) -> str:
        if not has_reference(self.job.config):
            return "there is no reference model"
        return self._switch(REFERENCE)


def kept(request: Request, keys: tuple[str, ...]) -> dict[str, str]:
    """What is said of values that were given."""
    sources = request.resolved.sources
    return {key: f"given by {sources[key]}" for key in keys if key in sources}
