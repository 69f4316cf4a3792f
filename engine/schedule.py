"""How many rollouts and optimizer steps a run has, and the learning rate along them."""

import math
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.config.batch import steps_per_rollout
from engine.config.sections import OptimSection, RunConfig

FINAL_LR_SHARE = 0.1


@dataclass(frozen=True)
class Plan:
    """The batch arithmetic of a run.

    An iteration is `rollouts` rollouts with the same weights followed by `steps` optimizer steps: one of the
    two is 1, unless both are.
    """

    rollouts: int
    steps: int
    total_steps: int

    @property
    def on_policy(self) -> bool:
        """Whether every optimizer step sees only responses of the weights it updates."""
        return self.steps == 1


def plan_run(config: RunConfig, n_prompts: int) -> Plan:
    """Batch arithmetic for `n_prompts`; the configuration has passed the batch rules."""
    optim = config.optim
    steps_per = steps_per_rollout(config)
    rollouts, steps = max(1, int(1 / steps_per)), max(1, int(steps_per))
    rollouts_per_episode = n_prompts // config.batch.rollout_batch_size
    total = optim.num_episodes * rollouts_per_episode // rollouts * steps
    if optim.max_steps is not None:
        total = min(total, optim.max_steps)
    return Plan(rollouts, steps, total)


def make_scheduler(optimizer: Optimizer, optim: OptimSection, total_steps: int) -> LambdaLR:
    """Linear warm-up, then `lr_scheduler` down to a tenth of the peak (or constant)."""
    warmup = round(optim.lr_warmup_ratio * total_steps)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return _decay(optim.lr_scheduler, (step - warmup) / max(1, total_steps - warmup))

    return LambdaLR(optimizer, share)


def continue_schedule(scheduler: LambdaLR, steps: int) -> None:
    """Put a new scheduler where one stands after `steps` steps.

    Rates come from the present configuration, not from the checkpoint, so that a resumed run can be given
    another learning rate, length or decay.
    """
    scheduler.last_epoch = steps
    for group, base, share in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = base * share(steps)


def _decay(kind: str, progress: float) -> float:
    progress = min(progress, 1.0)
    if kind == "constant":
        return 1.0
    remaining = 1 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return FINAL_LR_SHARE + (1 - FINAL_LR_SHARE) * remaining
