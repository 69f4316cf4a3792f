"""Advantage estimators that compare the responses of one prompt: rewards [G, n] to advantages [G, n].

G prompts with n responses each. Rewards are of any floating type, finite, and come back in that type;
the arithmetic is float64. A group whose rewards are all alike says nothing about its responses: its
advantages are exactly 0, never rounding noise divided by a small number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.algorithms.losses import LossAgg

STD_EPS = 1e-6
SAME_REWARD_TOLERANCE = 1e-6


def zero_variance(rewards: Tensor) -> Tensor:
    """Which groups carry no signal: bool [G], max − min ≤ 1e-6 · max(1, max |R|) within the group."""
    rewards = _checked(rewards)
    spread = rewards.amax(1) - rewards.amin(1)
    return spread <= SAME_REWARD_TOLERANCE * rewards.abs().amax(1).clamp(min=1)


def group_norm(rewards: Tensor) -> Tensor:
    """(R − mean) / (std + 1e-6) with the unbiased std of the group (GRPO, arXiv:2402.03300)."""
    deviation = _deviation(rewards)
    std = (deviation.square().sum(1, keepdim=True) / (rewards.shape[1] - 1)).sqrt()
    return (deviation / (std + STD_EPS)).to(rewards.dtype)


def dr_grpo(rewards: Tensor) -> Tensor:
    """R − mean, not divided by the std (Dr. GRPO, arXiv:2503.20783)."""
    return _deviation(rewards).to(rewards.dtype)


def rloo(rewards: Tensor) -> Tensor:
    """R − mean of the *other* responses of the group, which is n/(n−1)·(R − mean) (arXiv:2402.14740)."""
    deviation = _deviation(rewards)
    n = rewards.shape[1]
    return (deviation * n / (n - 1)).to(rewards.dtype)


def _deviation(rewards: Tensor) -> Tensor:
    """R − mean of the group in float64, exactly 0 in groups of zero variance."""
    values = _checked(rewards)
    if values.shape[1] < 2:
        raise ValueError(
            f"a group estimator compares responses to the same prompt, so n_samples_per_prompt must be "
            f"at least 2, got {values.shape[1]}"
        )
    deviation = values - values.mean(1, keepdim=True)
    return torch.where(zero_variance(rewards).unsqueeze(1), 0.0, deviation)


def _checked(rewards: Tensor) -> Tensor:
    """Rewards as float64, or ValueError where they are not finite floats [G, n ≥ 1]."""
    if rewards.dim() != 2 or rewards.shape[1] == 0 or not rewards.is_floating_point():
        raise ValueError(f"rewards must be floats [groups, n], got {rewards.dtype} {list(rewards.shape)}")
    if not rewards.isfinite().all():
        bad = rewards.isfinite().logical_not().nonzero()[0].tolist()
        raise ValueError(
            f"reward {rewards[*bad].item()} of response {bad[1]} in group {bad[0]} is not finite"
        )
    return rewards.double()


@dataclass(frozen=True, slots=True)
class Estimator:
    """An `advantage_estimator`: its function, and the `loss_agg` its paper uses where the user sets none."""

    advantages: Callable[[Tensor], Tensor]
    loss_agg: LossAgg


ESTIMATORS: Mapping[str, Estimator] = {
    "group_norm": Estimator(group_norm, "seq-mean-token-mean"),
    "dr_grpo": Estimator(dr_grpo, "token-sum-norm"),
    "rloo": Estimator(rloo, "seq-mean-token-sum"),
}
