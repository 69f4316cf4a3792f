"""Normalisation by moments of all ranks together: running ones for rewards, one batch's for advantages.

Each takes `all_reduce_sum`, which adds a float64 tensor up over ranks and returns the total; in one process
it is the identity. Every rank must call, one without values included.
"""

from collections.abc import Callable

import torch
from torch import Tensor

AllReduce = Callable[[Tensor], Tensor]

STD_FLOOR = 1e-3
SAME_VALUE_TOLERANCE = 1e-6


class RunningMoments:
    """Mean and standard deviation of all rewards seen so far, on all ranks (`reward_running_norm`).

    Call `update` with a rollout's rewards, then `normalise` them: the first rollout is normalised by its
    own moments. `minus_mean` also subtracts the mean (`reward_running_norm_minus_mean`).
    """

    def __init__(self, *, minus_mean: bool = False) -> None:
        self.minus_mean = minus_mean
        self.count = 0.0
        self.mean = 0.0
        self.m2 = 0.0

    @property
    def std(self) -> float:
        """Unbiased standard deviation, at least 1e-3."""
        variance = self.m2 / (self.count - 1) if self.count > 1 else 0.0
        return max(variance**0.5, STD_FLOOR)

    def update(self, rewards: Tensor, all_reduce_sum: AllReduce) -> None:
        """Take in this rank's rewards (any shape) together with those of the other ranks."""
        count, mean, m2 = _moments(rewards.flatten().double(), all_reduce_sum)
        if count == 0:
            return
        total = self.count + count
        shift = mean - self.mean
        self.m2 += m2 + shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count = total

    def normalise(self, rewards: Tensor) -> Tensor:
        """(rewards − mean if `minus_mean`) / std, in the shape and type of `rewards`."""
        return ((rewards.double() - self.mean * self.minus_mean) / self.std).to(rewards.dtype)

    def state_dict(self) -> dict[str, float]:
        """The moments, for a checkpoint."""
        return {"count": self.count, "mean": self.mean, "m2": self.m2}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from the moments of a checkpoint."""
        self.count, self.mean, self.m2 = state["count"], state["mean"], state["m2"]


def whiten(values: Tensor, mask: Tensor, all_reduce_sum: AllReduce) -> Tensor:
    """Values to mean 0 and unbiased std 1 over the masked-in elements of all ranks; exactly 0 elsewhere.

    `values` and `mask` have one shape, such as [B, T]. Rows left out of `mask` (groups of zero variance)
    neither count nor get an advantage. Values that are all alike give 0, not amplified rounding noise.
    """
    count, mean, m2 = _moments(values[mask].double(), all_reduce_sum)
    std = (m2 / (count - 1)) ** 0.5 if count > 1 else 0.0
    if std <= SAME_VALUE_TOLERANCE * max(1.0, abs(mean)):
        return torch.zeros_like(values)
    return torch.where(mask, (values.double() - mean) / std, 0.0).to(values.dtype)


def _moments(values: Tensor, all_reduce_sum: AllReduce) -> tuple[float, float, float]:
    """Count, mean and sum of squared deviations over all ranks, of this rank's float64 values [N]."""
    total = all_reduce_sum(torch.stack([values.sum(), values.new_tensor(float(values.numel()))]))
    sum_, count = total.tolist()
    if count == 0:
        return 0.0, 0.0, 0.0
    mean = sum_ / count
    m2 = all_reduce_sum((values - mean).square().sum())
    return count, mean, m2.item()
