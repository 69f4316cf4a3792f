"""Names of the metrics a run writes, and the numbers of a rollout."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.algorithms.advantages import zero_variance
from engine.algorithms.stats import StatsAccumulator
from engine.data.experience import Experience
from engine.experience_maker import Rollout
from engine.strategy import Strategy

METRIC_NAMES = {
    "policy_loss": "policy/loss",
    "ratio_mean": "policy/ratio_mean",
    "ratio_max": "policy/ratio_max",
    "clip_fraction_low": "policy/clip_low",
    "clip_fraction_high": "policy/clip_high",
    "approx_kl": "kl/old",
    "kl": "kl/ref",
    "entropy": "policy/entropy",
    "logprob_diff_mean": "sync/logprob_diff_mean",
    "logprob_diff_max": "sync/logprob_diff_max",
    "tis_weight_mean": "sync/tis_weight_mean",
}
"""What `add_policy_stats` measures, under the names of the event files."""


def reduce_stats(stats: StatsAccumulator, strategy: Strategy) -> dict[str, float]:
    """The accumulator's global values. Collective."""
    return stats.reduce(lambda t: strategy.all_reduce(t, "sum"), lambda t: strategy.all_reduce(t, "max"))


def rollout_metrics(rollouts: Sequence[Rollout], shaped: Tensor, strategy: Strategy) -> dict[str, float]:
    """Rewards, lengths and truncation over all ranks. Collective.

    `shaped` [G, n]: the rewards the estimator saw.
    """
    stats = StatsAccumulator(strategy.device)
    for rollout in rollouts:
        rewards, lengths = rollout.rewards.double(), rollout.lengths.double()
        stats.add_mean("reward/mean", rewards.sum(), rewards.numel())
        stats.add_mean("reward/square", rewards.square().sum(), rewards.numel())
        for name, part in rollout.scores.parts.items():
            stats.add_mean(f"reward/{name}", float(sum(part)), len(part))
        stats.add_mean("response/length_mean", lengths.sum(), lengths.numel())
        stats.add_max("response/length_max", lengths.max() if lengths.numel() else -torch.inf)
        truncated = sum(e.truncated for e in rollout.experiences)
        stats.add_mean("response/truncated", truncated, len(rollout.experiences))
    stats.add_sum("rollout/zero_variance_groups", zero_variance(shaped).sum())
    metrics = reduce_stats(stats, strategy)
    variance = metrics.pop("reward/square") - metrics["reward/mean"] ** 2
    metrics["reward/std"] = max(variance, 0.0) ** 0.5
    return metrics


def timing_metrics(
    seconds: Mapping[str, float],
    experiences: Sequence[Experience],
    max_epochs: int,
    forwarded_tokens: int,
    strategy: Strategy,
) -> dict[str, float]:
    """`time/<phase>` on the slowest rank, and the totals that `throughput_metrics` wants. Collective."""
    stats = StatsAccumulator(strategy.device)
    for phase, spent in seconds.items():
        stats.add_max(f"time/{phase}", spent)
    tokens = sum(len(e) for e in experiences)
    stats.add_sum("samples", len(experiences))
    stats.add_sum("response_tokens", sum(len(e.response_ids) for e in experiences))
    stats.add_sum("tokens", tokens)
    stats.add_sum("trained_tokens", tokens * max_epochs)
    stats.add_sum("forwarded_tokens", forwarded_tokens)
    return reduce_stats(stats, strategy)
