"""A finished plan: what was chosen and why, what it needs, how long it takes, what would come next."""

from dataclasses import dataclass
from typing import Any

from engine.config import batch
from engine.config.batch import steps_per_rollout
from engine.config.load import Resolved
from engine.findings import Finding
from engine.footprint.job import Job
from engine.footprint.speed import Lengths, Times
from engine.footprint.terms import Footprint


@dataclass(frozen=True)
class RunnerUp:
    """The next best plan: its values that differ, and what it would cost."""

    values: dict[str, Any]
    times: Times
    peak: int
    words: str


@dataclass(frozen=True)
class Plan:
    """What the planner answers. Keys of `chosen` and `reasons` are `section.key`."""

    resolved: Resolved
    """The configuration to run, with the source "planner" for what was chosen."""
    job: Job
    footprint: Footprint
    times: Times
    lengths: Lengths
    fits: bool
    chosen: dict[str, Any]
    """What the planner decided."""
    given: dict[str, Any]
    """Of what it may decide, what was given, and stays."""
    reasons: dict[str, str]
    runner_up: RunnerUp | None = None
    findings: tuple[Finding, ...] = ()
    assumptions: tuple[str, ...] = ()
    dataset_size: int | None = None
    corrected: str = ""
    """Which measurements corrected the prediction, in words."""

    @property
    def batch_words(self) -> str:
        """The arithmetic of batches in words."""
        return batch.batch_words(self.job.config, self.job.place.ranks)

    @property
    def iterations(self) -> float | None:
        """Iterations of `times` in the whole run; None where neither prompts nor an end are known."""
        config = self.job.config
        rollouts = []
        if self.dataset_size is not None:
            prompts = min(self.dataset_size, config.data.max_samples or self.dataset_size)
            rollouts.append(float(prompts // config.batch.rollout_batch_size * config.optim.num_episodes))
        if config.optim.max_steps is not None:
            rollouts.append(config.optim.max_steps / float(steps_per_rollout(config)))
        each = self.times.responses / batch.responses_per_rollout(config)
        return min(rollouts) / each if rollouts else None

    @property
    def seconds(self) -> float | None:
        """The whole run, without loading, evaluation and checkpoints."""
        known = self.iterations is not None and self.times.calibrated
        return self.iterations * self.times.iteration if self.iterations and known else None

    def cost(self, price: float | None) -> float | None:
        """The whole run in USD, at `price` for a GPU and hour."""
        if price is None or self.seconds is None:
            return None
        return round(price * self.job.place.ranks * self.seconds / 3600, 2)
