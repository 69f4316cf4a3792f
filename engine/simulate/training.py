"""The training part of a run, driven through its phases by the trainer's own methods and counted."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from engine.build import build_models
from engine.config.sections import RunConfig
from engine.data.experience import Experience
from engine.footprint.terms import PHASES
from engine.models.weight_names import engine_weights
from engine.policy_update import PolicyUpdate
from engine.schedule import plan_run
from engine.simulate.report import LATER, Simulation, phase_peaks
from engine.simulate.tracker import MemoryTracker
from engine.simulate.worst import Work, worst_work
from engine.strategy import Strategy
from engine.trainer import SPMDPPOTrainer

STEPS = 2
"""Optimizer steps: the first makes the optimizer's states, the second has them from the start."""

_TRACKED = ("logprob", LATER, "update", "sync")


class Observed(Strategy):
    """Tells a tracker of optimizer steps; mixed into the strategy of a run that is counted."""

    tracker: MemoryTracker

    def optimizer_step(
        self, optimizer: Optimizer, model: Any, scheduler: LRScheduler, name: str = "actor"
    ) -> float:
        self.tracker.mark("gradients", (p.grad for p in model.parameters()))
        with self.tracker.phase("step"):
            norm = super().optimizer_step(optimizer, model, scheduler, name)  # type: ignore[safe-super]
            self.tracker.mark("optimizer states", _states(optimizer))
            return norm


class TrainingPart(SPMDPPOTrainer):
    """A trainer with models but without rollouts: log-probs, updates and the gathering of weights.

    `source.load(dtype)` makes models, as `engine.models.loading.ModelSource` does.
    """

    def __init__(self, config: RunConfig, source: Any, strategy: Strategy, tracker: MemoryTracker) -> None:
        self.config = config
        self.strategy = strategy
        self.tracker = tracker
        self.telemetry = self  # type: ignore[assignment]
        self._later = False
        self.plan = plan_run(config, 1000 * config.batch.rollout_batch_size)
        with tracker.phase("load"):
            self.models = models = build_models(config, source, strategy, self.plan)
            self._mark()
        self.update = PolicyUpdate(
            config, strategy, models.actor, models.optimizer, models.scheduler, models.pad_token_id
        )

    def phase(self, name: str) -> AbstractContextManager[None]:
        """What the trainer tells telemetry, told to the tracker."""
        if name == "logprob" and self._later:
            name = LATER
        return self.tracker.phase(name) if name in _TRACKED else nullcontext()

    def run(self, work: Work) -> None:
        """All phases but `load`: a first iteration, and the log-probs of a second, when there are states."""
        with self.phase("logprob"):  # of the policy, before anything else: see `_check_sync`
            self._score_with(self.models.actor, work.scored[: self.config.batch.micro_rollout_batch_size])
        self._logprobs(work.scored)
        for e in work.trained:
            e.old_logprobs = None if self.plan.on_policy else torch.zeros(len(e.response_ids))
            e.ref_logprobs = torch.zeros(len(e.response_ids))
        self._move_optimizer(self.strategy.maybe_load_optimizer)
        for _ in range(STEPS):
            self._update_once(work.trained)
        self._move_optimizer(self.strategy.maybe_offload_optimizer)
        self._mark()
        with self.phase("sync"):
            self._sync()
        self._later = True
        self._logprobs(work.scored)

    def _sync(self) -> None:
        """What `Strategy.update_engine_weights` does before an engine takes over."""
        named = self.strategy.named_full_parameters(self.models.actor, self.strategy.compute_dtype)
        for _ in engine_weights(self.models.actor, named, on_disk=False):
            pass

    def _update_once(self, trained: Sequence[Experience]) -> None:
        with self.phase("update"):
            self.update.step(trained, self.config.algorithm.init_kl_coef)
        self._mark()

    def _mark(self) -> None:
        models = self.models
        self.tracker.mark("optimizer states", _states(models.optimizer))
        if models.reference is not None:
            self.tracker.mark("reference", models.reference.parameters())
        self.tracker.mark("parameters", models.actor.parameters())


def drive(config: RunConfig, source: Any, strategy: Any, tracker: MemoryTracker, device: str) -> Simulation:
    """All phases of a training part on an `Observed` strategy, with the heaviest responses; `seconds` is 0.

    Log-probs of a later iteration are a phase by themselves, `LATER`.

    `device`: the type of the device whose memory counts as the device's.
    """
    strategy.tracker = tracker
    work = worst_work(config, strategy.world_size)
    with tracker:
        part = TrainingPart(config, source, strategy, tracker)
        part.run(work)
    return Simulation(
        world_size=strategy.world_size,
        device=phase_peaks(tracker.peaks(device), (*PHASES, LATER)),
        host=phase_peaks(tracker.peaks("cpu"), (*PHASES, LATER)) if device != "cpu" else (),
        groups=_groups(strategy),
        micro_batches=len(part.update._micro_batches(work.trained)),
        micro_batches_of_step=work.micro_batches,
        tokens=part.update.forwarded_tokens // STEPS,
        layers=source.config.get_text_config().num_hidden_layers,
        seconds=0.0,
    )


def _groups(strategy: Any) -> dict[str, str]:
    groups = {group.name.split()[0]: group.name for group in (strategy.tensor_group, strategy.sequence_group)}
    meshes = strategy._sharded._meshes
    return groups | {f"mesh over {size}": str(mesh) for size, mesh in meshes.items()}


def _states(optimizer: Optimizer) -> Iterator[Tensor]:
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor) and value.dim())
