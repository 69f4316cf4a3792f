"""The training loop. It reads like the algorithm; what a step consists of lives in the modules it calls."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.advantage_phase import assign_advantages, shape_rewards
from engine.algorithms.advantages import ESTIMATORS, zero_variance
from engine.checkpoint.manager import CheckpointManager
from engine.checkpoint.rng import capture_rng, restore_rng
from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig
from engine.control import Control, requested
from engine.data.experience import Experience
from engine.data.types import Prompt
from engine.evaluate import Evaluator
from engine.events import Status
from engine.experience_maker import ExperienceMaker, Rollout
from engine.metrics import rollout_metrics, timing_metrics
from engine.models.actor import Actor
from engine.models.logprob_pass import compute_logprobs
from engine.models.lora import adapters_disabled
from engine.policy_update import PolicyUpdate
from engine.recorder import Recorder
from engine.rollout.base import SamplingParams
from engine.schedule import Plan
from engine.step_check import check_sync, findings_of, out_of_sync_limit
from engine.strategy import Strategy
from engine.telemetry import Telemetry
from engine.throughput import throughput_metrics
from engine.train_state import TrainState


@dataclass(frozen=True)
class Models:
    """What is trained and what it is compared with.

    `reference` is None when `init_kl_coef` is 0, and with LoRA: then it is the actor without its adapters.
    """

    actor: Actor
    reference: Actor | None
    optimizer: Optimizer
    scheduler: LambdaLR
    pad_token_id: int
    n_parameters: int


class SPMDPPOTrainer:
    """Trains a policy; the same program runs on every rank. `engine.build.build_trainer` assembles one.

    Override `compute_advantages` for an estimator of your own.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        run_dir: Path,
        strategy: Strategy,
        models: Models,
        maker: ExperienceMaker,
        prompts: Sequence[Prompt],
        evaluator: Evaluator | None,
        plan: Plan,
        state: TrainState,
        checkpoints: CheckpointManager,
        telemetry: Telemetry,
        recorder: Recorder,
    ) -> None:
        self.config = config
        self.run_dir = run_dir
        self.strategy = strategy
        self.models = models
        self.maker = maker
        self.prompts = prompts
        self.evaluator = evaluator
        self.plan = plan
        self.state = state
        self.checkpoints = checkpoints
        self.telemetry = telemetry
        self.recorder = recorder
        self.update = PolicyUpdate(
            config, strategy, models.actor, models.optimizer, models.scheduler, models.pad_token_id
        )
        self.sampling = SamplingParams(
            n=config.batch.n_samples_per_prompt,
            temperature=config.rollout.temperature,
            top_p=config.rollout.top_p,
            top_k=config.rollout.top_k,
            max_tokens=generate_max_len(config),
            min_tokens=config.rollout.generate_min_len,
        )
        self.generator = torch.Generator(strategy.device)
        self.generator.manual_seed(config.run.seed * 1_000_003 + strategy.rank)
        self._saved_step = -1
        self._request: Control | None = None
        """The latest of the front end, on rank 0."""
        self._answered: float | None = None
        """`t` of the last that was answered."""
        self._sync_checked = False

    def fit(self) -> str:
        """Train to the end, or to a stop request. Returns `finished` or `stopped`."""
        self._start()
        while self.state.step < self.plan.total_steps:
            asked = self._asked()
            if asked == "stop":
                break
            if asked == "checkpoint":
                self._save_as_asked()
            self.train_iteration()
        return self._end("finished" if self.state.step >= self.plan.total_steps else "stopped")

    def train_iteration(self) -> None:
        """Rollouts with the present weights, the optimizer steps they are good for, weights to the engine."""
        started = time.perf_counter()
        first_step, first_episode = self.state.step + 1, self.state.order.episode + 1
        self.telemetry.step = first_step
        rollouts = [self._rollout() for _ in range(self.plan.rollouts)]
        shaped = self._advantages(rollouts)
        experiences = [e for rollout in rollouts for e in rollout.experiences]
        self._check_sync(experiences)
        self._logprobs(experiences)
        steps = self._train(experiences)
        self._adapt_kl(steps[0], len(experiences))
        with self.telemetry.phase("sync"):
            self.strategy.update_engine_weights(self.models.actor)

        steps[-1] |= rollout_metrics(rollouts, shaped, self.strategy)
        steps[-1] |= self._timing(experiences, time.perf_counter() - started)
        for step, metrics in enumerate(steps, first_step):
            self.recorder.metrics(step, metrics)
        self.recorder.responses(first_step, rollouts[0])
        if _due(self.config.logging.log_interval, first_step, self.state.step):
            self.recorder.line(self.state.step, self.plan.total_steps, steps[-1])
        self._check(steps)
        self._evaluate_if_due(first_step)
        self._save_if_due(first_step, first_episode)

    def compute_advantages(self, rewards: Tensor) -> Tensor:
        """Advantages [G, n] of shaped rewards [G, n], by the configured estimator."""
        return ESTIMATORS[self.config.algorithm.advantage_estimator].advantages(rewards)

    # --- the parts of an iteration ---------------------------------------------------------------------

    def _rollout(self) -> Rollout:
        indices = self.state.order.next()
        mine = [self.prompts[i] for i in self.strategy.deal(indices)]
        with self.telemetry.phase("rollout"):
            experiences = self.maker.generate(mine, self.sampling, self.generator)
        with self.telemetry.phase("reward"):
            return self.maker.score(mine, experiences, self.sampling.n)

    def _advantages(self, rollouts: Sequence[Rollout]) -> Tensor:
        """Fills in the experiences' advantages; returns the shaped rewards [G, n] of all rollouts."""
        rewards = torch.cat([r.rewards for r in rollouts])
        lengths = torch.cat([r.lengths for r in rollouts])
        shaped = shape_rewards(rewards, lengths, self.config, self.state.moments, self._sum)
        experiences = [e for rollout in rollouts for e in rollout.experiences]
        advantages = self.compute_advantages(shaped)
        assign_advantages(experiences, advantages, ~zero_variance(shaped), self.config, self._sum)
        return shaped

    def _check_sync(self, experiences: Sequence[Experience]) -> None:
        """Before the first update of this process: does the engine sample from the trainer's weights?"""
        if self._sync_checked:
            return
        self._sync_checked = True
        with self.telemetry.phase("logprob"):
            some = experiences[: self.config.batch.micro_rollout_batch_size]
            check_sync(self._score_with(self.models.actor, some), some, self.config, self.strategy)

    def _logprobs(self, experiences: Sequence[Experience]) -> None:
        """Of the policy at rollout time, where several steps will move it on, and of the reference model."""
        with self.telemetry.phase("logprob"):
            # Dropout of adapters, which the policy that sampled had not, must not count as its change.
            if not self.plan.on_policy or self.config.model.lora_dropout > 0:
                for e, row in zip(experiences, self._score_with(self.models.actor, experiences), strict=True):
                    e.old_logprobs = row
            if self.config.algorithm.init_kl_coef > 0:
                for e, row in zip(experiences, self._score_with_reference(experiences), strict=True):
                    e.ref_logprobs = row

    def _score_with_reference(self, experiences: Sequence[Experience]) -> list[Tensor]:
        reference = self.models.reference
        if reference is None:
            with adapters_disabled(self.models.actor):
                return self._score_with(self.models.actor, experiences)
        self.strategy.maybe_load_model(reference)
        rows = self._score_with(reference, experiences)
        self.strategy.maybe_offload_model(reference)
        return rows

    def _score_with(self, actor: Actor, experiences: Sequence[Experience]) -> list[Tensor]:
        training = actor.training
        actor.eval()  # the dropout of adapters is for updates
        rows = compute_logprobs(
            actor,
            experiences,
            self.strategy,
            pad_token_id=self.models.pad_token_id,
            micro_batch_size=self.config.batch.micro_rollout_batch_size,
        )
        actor.train(training)
        return rows

    def _minibatches(self, experiences: Sequence[Experience]) -> Iterator[list[Experience]]:
        """This rank's share of each optimizer step: `max_epochs` passes over the experiences, cut at TBS."""
        pool, size, deal = self._pool(experiences)
        stream: list[Experience] = []
        for epoch in range(self.config.optim.max_epochs):
            order: Sequence[int] = range(len(pool))
            if epoch > 0:
                seed = self.config.run.seed * 1_000_003 + self.state.order.rollouts_done * 1009 + epoch
                order = torch.randperm(len(order), generator=torch.Generator().manual_seed(seed)).tolist()
            stream += [pool[i] for i in order]
        for start in range(0, len(stream), size):
            if self.state.step < self.plan.total_steps:
                yield stream[start : start + size][deal]

    def _pool(self, experiences: Sequence[Experience]) -> tuple[Sequence[Experience], int, slice]:
        """What steps are cut from, how much of it each takes, and this rank's part of that. Collective.

        Prompts only have to divide among engine replicas: where ranks hold more or less of them, all ranks
        cut the same list of everyone's.
        """
        tbs, world = self.config.batch.train_batch_size, self.strategy.world_size
        if self.config.batch.rollout_batch_size % world == 0:
            return experiences, tbs // world, slice(None)
        everyone = [e for part in self.strategy.all_gather_objects(list(experiences)) for e in part]
        return everyone, tbs, slice(self.strategy.rank, None, world)

    def _train(self, experiences: Sequence[Experience]) -> list[dict[str, float]]:
        """All optimizer steps that these responses are good for; their metrics."""
        self._move_optimizer(self.strategy.maybe_load_optimizer)
        steps = [self._train_step(batch) for batch in self._minibatches(experiences)]
        self._move_optimizer(self.strategy.maybe_offload_optimizer)
        return steps

    def _move_optimizer(self, move: Callable[[Optimizer], None]) -> None:
        if self.config.memory.adam_offload:
            with self.telemetry.phase("offload"):
                move(self.models.optimizer)

    def _train_step(self, experiences: Sequence[Experience]) -> dict[str, float]:
        self.state.step += 1
        self.telemetry.step = self.state.step
        with self.telemetry.phase("update"):
            metrics = self.update.step(experiences, self.state.kl.value)
        skipped = not math.isfinite(metrics["grad/norm"])
        return {**metrics, "kl/coef": self.state.kl.value, "update/skipped": float(skipped)}

    def _adapt_kl(self, metrics: dict[str, float], n_responses: int) -> None:
        if "kl/ref" in metrics:
            self.state.kl.update(metrics["kl/ref"], n_responses * self.strategy.world_size)

    def _timing(self, experiences: Sequence[Experience], seconds: float) -> dict[str, float]:
        phases = {"step": seconds, **self.telemetry.take_seconds()}
        forwarded, self.update.forwarded_tokens = self.update.forwarded_tokens, 0
        values = timing_metrics(phases, experiences, self.config.optim.max_epochs, forwarded, self.strategy)
        return throughput_metrics(
            values,
            self.models.n_parameters,
            self.strategy.world_size,
            self.telemetry.device_name,
            frozen=self.config.model.lora_rank > 0,
        )

    def _check(self, steps: Sequence[dict[str, float]]) -> None:
        limit = out_of_sync_limit(self.config)
        findings = [finding for metrics in steps for finding in findings_of(metrics, limit)]
        self.recorder.alerts.update("step", findings, self.state.step)

    # --- between iterations ----------------------------------------------------------------------------

    def _start(self) -> None:
        if self.config.checkpoint.load_checkpoint:
            self._resume()
        self._status("running")
        self.telemetry.step = self.state.step
        with self.telemetry.phase("sync"):
            self.strategy.update_engine_weights(self.models.actor)
        if self.state.step == 0:
            self._evaluate()
        self.telemetry.take_seconds()

    def _resume(self) -> None:
        path = self.checkpoints.to_resume_from(self.config.checkpoint.ckpt_path)
        if path is None:
            self.strategy.print("no complete checkpoint to resume from: starting at step 0")
            self._status("resumed")
            return
        state, rank_state = self.checkpoints.load(path, self.models.actor, self.models.optimizer)
        self.state.load_state_dict(state)
        if rank_state is not None:
            restore_rng(rank_state, {"rollout": self.generator})
        else:  # another world size: go on with numbers that have not been drawn before
            self.generator.manual_seed(self.generator.initial_seed() + 7919 * self.state.step)
        self._move_optimizer(self.strategy.maybe_offload_optimizer)
        self._saved_step = self.state.step if path.parent == self.checkpoints.root else -1
        self.recorder.forget_after(self.state.step)
        self.checkpoints.set_aside_after(self.state.step)
        self.strategy.print(f"resumed from {path} at step {self.state.step}")
        self._status("resumed")

    def _asked(self) -> Literal["", "checkpoint", "stop"]:
        """What the front end wants now, the same on all ranks. Collective."""
        request = self._request = requested(self.run_dir) if self.strategy.rank == 0 else None
        kind = 0
        if request is not None and request.action == "stop":
            kind = 2
        elif request is not None and request.action == "checkpoint" and self.state.step > 0:
            kind = int(request.t != self._answered)
        return ("", "checkpoint", "stop")[int(self.strategy.all_reduce_number(float(kind), "max"))]

    def _save_as_asked(self) -> None:
        """A checkpoint of this step, unless there is one, and the answer to who asked for it."""
        if self._saved_step != self.state.step:
            self._save()
        saved, step = self._saved_step == self.state.step, self.state.step
        said = f"step {step} is saved, training goes on" if saved else f"step {step} could not be saved"
        self.strategy.print(f"a checkpoint was asked for: {said}")
        if self._request is not None:
            self._answered = self._request.t
            self._status("checkpointed" if saved else "running", message=said, answers=self._request.t)

    def _evaluate_if_due(self, first_step: int) -> None:
        if _due(self.config.eval.eval_interval, first_step, self.state.step):
            self._evaluate()

    def _evaluate(self) -> None:
        if self.evaluator is None:
            return
        with self.telemetry.phase("eval"):
            metrics = self.evaluator.run()
        self.recorder.metrics(self.state.step, metrics)
        shown = " ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.strategy.print(f"step {self.state.step} {shown}")

    def _save_if_due(self, first_step: int, first_episode: int) -> None:
        checkpoint, state = self.config.checkpoint, self.state
        by_steps = _due(checkpoint.save_steps or 0, first_step, state.step)
        if by_steps or _due(checkpoint.save_interval, first_episode, state.order.episode):
            self._save()

    def _save(self) -> None:
        with self.telemetry.phase("checkpoint"):
            path = self.checkpoints.save(
                self.state.step,
                self.models.actor,
                self.models.optimizer,
                self.state.state_dict(),
                capture_rng({"rollout": self.generator}),
            )
        if path is not None:
            self._saved_step = self.state.step

    def _end(self, status: str) -> str:
        evaluated = _due(self.config.eval.eval_interval, self.state.step, self.state.step)
        if status == "finished" and not evaluated:
            self._evaluate()
        if self._saved_step != self.state.step:
            self._save()
        self.checkpoints.save_final(self.state.step, self.models.actor)
        self._status(status)
        self.recorder.close()
        return status

    def _status(self, state: str, **said: Any) -> None:
        step, total = self.state.step, self.plan.total_steps
        if self.strategy.rank == 0:
            self.telemetry.emit(Status, state=state, step=step, total_steps=total, **said)

    def _sum(self, value: Tensor) -> Tensor:
        return self.strategy.all_reduce(value, "sum")


def _due(interval: int, first: int, last: int) -> bool:
    """Whether a multiple of `interval` (steps or episodes) lies in first … last; 0 is never."""
    return interval > 0 and last // interval > (first - 1) // interval
