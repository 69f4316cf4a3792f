"""Rewards of a rollout become advantages on its experiences."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.algorithms.normalisation import RunningMoments, whiten
from engine.algorithms.shaping import clip_symmetric, overlong_penalty
from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig
from engine.data.experience import Experience

AllReduce = Callable[[Tensor], Tensor]


def shape_rewards(
    rewards: Tensor,
    lengths: Tensor,
    config: RunConfig,
    moments: RunningMoments | None,
    all_reduce_sum: AllReduce,
) -> Tensor:
    """Clip, running norm, overlong penalty, in this order. All [G, n]. Collective."""
    reward = config.reward
    rewards = clip_symmetric(rewards, reward.reward_clip)
    if moments is not None:
        moments.update(rewards, all_reduce_sum)
        rewards = moments.normalise(rewards)
    penalty = overlong_penalty(
        lengths, generate_max_len(config), reward.overlong_buffer_len, reward.overlong_penalty
    )
    return rewards + penalty


def assign_advantages(
    experiences: Sequence[Experience],
    advantages: Tensor,
    learns: Tensor,
    config: RunConfig,
    all_reduce_sum: AllReduce,
) -> None:
    """Give every response token its advantage, whitened and clipped as configured. Collective.

    advantages [G, n] matches `experiences` group after group; `learns` [G] is false for groups without
    variance, which whitening must leave at zero.
    """
    lengths = torch.tensor([len(e.response_ids) for e in experiences], dtype=torch.long)
    width = int(lengths.max()) if len(lengths) else 0
    values = advantages.reshape(-1, 1).expand(-1, width)
    if config.algorithm.advantages_norm:
        counted = learns.repeat_interleave(advantages.shape[1])[:, None]
        values = whiten(values, (torch.arange(width) < lengths[:, None]) & counted, all_reduce_sum)
    values = clip_symmetric(values, config.algorithm.advantage_clip)
    for experience, row, length in zip(experiences, values, lengths.tolist(), strict=True):
        experience.advantages = row[:length].clone()
