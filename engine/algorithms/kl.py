"""KL to the reference model: its estimators per token, and what sets its weight β."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from engine.algorithms.losses import MAX_LOG_RATIO

KLEstimator = Literal["k1", "k2", "k3"]

MAX_RELATIVE_ERROR = 0.2


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, estimator: KLEstimator) -> Tensor:
    """KL(policy ‖ reference) per token of the policy's own samples [B, T], 0 where masked.

    d = logprobs − ref_logprobs. k1 = d: unbiased, noisy. k2 = d²/2: biased, right gradient.
    k3 = exp(−d) − 1 + d: unbiased, never negative. (J. Schulman, joschu.net/blog/kl-approx.html)
    """
    d = torch.where(mask, logprobs - ref_logprobs, 0.0)
    match estimator:
        case "k1":
            return d
        case "k2":
            return d.square() / 2
        case "k3":
            d = d.clamp(min=-MAX_LOG_RATIO)
            return torch.expm1(-d) + d
    raise ValueError(f"unknown KL estimator {estimator!r}")


def kl_loss(logprobs: Tensor, ref_logprobs: Tensor, mask: Tensor, estimator: KLEstimator) -> Tensor:
    """`kl_estimate` as a term of the loss. ValueError for k1, whose gradient is zero in expectation."""
    if estimator == "k1":
        raise ValueError(
            "k1 cannot be a loss: the expected gradient of log p − log p_ref under p is zero, so it would "
            "only add noise; use k3 or k2"
        )
    return kl_estimate(logprobs, ref_logprobs, mask, estimator)


class KLController(Protocol):
    """Holds β, the weight of the KL term. `value` is β now; the state goes into checkpoints."""

    value: float

    def update(self, kl: float, n_responses: int) -> None:
        """Take in the mean KL per token of an optimizer step of `n_responses` responses."""

    def state_dict(self) -> dict[str, float]:
        """What a resumed run needs."""

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a `state_dict` of any controller."""


class FixedKL:
    """A constant β. A resumed run takes β from its configuration, so loading a state changes nothing."""

    def __init__(self, value: float) -> None:
        self.value = value

    def update(self, kl: float, n_responses: int) -> None:
        """β stays."""

    def state_dict(self) -> dict[str, float]:
        """β, for a run that resumes with an adaptive controller."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """β stays."""


class AdaptiveKL:
    """A β steered towards a target KL (Ziegler et al., arXiv:1909.08593).

    After each step β grows by the factor 1 + e·n/horizon, where e = clip(KL/target − 1, ±0.2) and n is
    the step's number of responses. n/horizon is held to at most 1, so β stays positive.
    """

    def __init__(self, init: float, target: float, horizon: int) -> None:
        if init <= 0:
            raise ValueError(
                f"an adaptive KL coefficient cannot grow from init_kl_coef {init}; use a positive one"
            )
        self.value = init
        self.target = target
        self.horizon = horizon

    def update(self, kl: float, n_responses: int) -> None:
        """One proportional step; a KL that is not finite leaves β as it is."""
        error = kl / self.target - 1
        if math.isfinite(error):
            error = max(-MAX_RELATIVE_ERROR, min(error, MAX_RELATIVE_ERROR))
            self.value *= 1 + error * min(n_responses / self.horizon, 1.0)

    def state_dict(self) -> dict[str, float]:
        """β."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from the β of a checkpoint."""
        self.value = state["value"]


def make_kl_controller(init: float, target: float | None, horizon: int) -> KLController:
    """The controller of `init_kl_coef`, `kl_target` and `kl_horizon`: adaptive when there is a target."""
    return FixedKL(init) if target is None else AdaptiveKL(init, target, horizon)
