"""Statistics of an optimizer step: summed per micro-batch, then reduced over all ranks in two collectives.

Only sums, counts and maxima are kept, so a mean is one global mean however the step is split. Nothing
waits for the device before `reduce`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from engine.algorithms.kl import kl_estimate
from engine.algorithms.losses import PolicyLoss, truncated_importance_weight


class StatsAccumulator:
    """Collects statistics on `device`, where the collectives run.

    Every rank must add the same names between two `reduce` calls, a rank without data too (count 0).
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._maxima: dict[str, Tensor] = {}

    def add_sum(self, name: str, value: Tensor | float) -> None:
        """A share of a total, such as the loss already weighted by global counts."""
        self._sums[name] = self._sums.get(name, self._scalar(0)) + self._scalar(value)

    def add_mean(self, name: str, sum: Tensor | float, count: Tensor | float) -> None:
        """A sum over `count` elements; the result is total sum / total count."""
        self.add_sum(name, sum)
        self._counts[name] = self._counts.get(name, self._scalar(0)) + self._scalar(count)

    def add_max(self, name: str, value: Tensor | float) -> None:
        """A candidate for a maximum: −inf where there are no elements; NaN counts as +inf, to be seen."""
        value = self._scalar(value).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        self._maxima[name] = torch.maximum(self._maxima.get(name, value), value)

    def reduce(
        self, all_reduce_sum: Callable[[Tensor], Tensor], all_reduce_max: Callable[[Tensor], Tensor]
    ) -> dict[str, float]:
        """Global values by name, alike on every rank, NaN where there was nothing. Empties the accumulator.

        The arguments reduce one float64 tensor over all ranks and return the result.
        """
        sums, counts, maxima = sorted(self._sums), sorted(self._counts), sorted(self._maxima)
        result: dict[str, float] = {}
        if sums:
            totals = all_reduce_sum(
                torch.stack([*_pick(self._sums, sums), *_pick(self._counts, counts)])
            ).tolist()
            result = dict(zip(sums, totals, strict=False))
            for name, count in zip(counts, totals[len(sums) :], strict=True):
                result[name] = result[name] / count if count else math.nan
        if maxima:
            values = all_reduce_max(torch.stack(_pick(self._maxima, maxima))).tolist()
            result |= {k: math.nan if v == -math.inf else v for k, v in zip(maxima, values, strict=True)}
        self._sums, self._counts, self._maxima = {}, {}, {}
        return result

    def _scalar(self, value: Tensor | float) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64, device=self.device).detach()


def add_policy_stats(
    stats: StatsAccumulator,
    policy: PolicyLoss,
    mask: Tensor,
    *,
    policy_loss: Tensor,
    logprobs: Tensor,
    old_logprobs: Tensor,
    engine_logprobs: Tensor,
    kl: Tensor | None,
    entropy: Tensor,
    tis_cap: float | None,
) -> None:
    """Add what is always measured of one micro-batch.

    `policy_loss`: its share Σ w · token_loss of the step's loss. The rest is [B, T]: log-probs of the policy
    now (`logprobs`), of the trainer and of the engine at rollout time, `kl` to the reference model (None
    without one) and `entropy` of the policy; `mask` marks the response tokens, over which means are taken.

    Names: `policy_loss`, `ratio_mean`, `ratio_max`, `clip_fraction_low`, `clip_fraction_high`, `approx_kl`
    (KL of the rollout policy to the policy now), `kl`, `entropy`, `logprob_diff_mean`, `logprob_diff_max`
    (absolute, trainer to engine at rollout time) and `tis_weight_mean`.
    """
    logprobs, old_logprobs, engine_logprobs = (x.detach() for x in (logprobs, old_logprobs, engine_logprobs))
    difference = (old_logprobs - engine_logprobs).abs()
    means = {
        "ratio_mean": policy.ratio,
        "clip_fraction_low": policy.clipped_low,
        "clip_fraction_high": policy.clipped_high,
        "approx_kl": kl_estimate(old_logprobs, logprobs, mask, "k3"),
        "entropy": entropy.detach(),
        "logprob_diff_mean": difference,
        "tis_weight_mean": truncated_importance_weight(old_logprobs, engine_logprobs, mask, tis_cap),
    }
    if kl is not None:
        means["kl"] = kl.detach()
    count = mask.sum()
    for name, values in means.items():
        stats.add_mean(name, torch.where(mask, values, 0).double().sum(), count)
    stats.add_max("ratio_max", _masked_max(policy.ratio, mask))
    stats.add_max("logprob_diff_max", _masked_max(difference, mask))
    stats.add_sum("policy_loss", policy_loss)


def _masked_max(values: Tensor, mask: Tensor) -> Tensor:
    """Largest masked-in value, −inf where there is none."""
    values = torch.where(mask, values, -math.inf).flatten()
    return torch.cat([values, values.new_tensor([-math.inf])]).max()


def _pick(values: dict[str, Tensor], names: list[str]) -> list[Tensor]:
    return [values[name] for name in names]
