"""Policy losses per token, and the weights that add them up.

Everything is padded: log-probs and losses [B, T], `mask` [B, T] true at response tokens. What stands at
masked positions, NaN and infinity included, reaches neither value nor gradient: it is replaced before any
arithmetic, because 0 · NaN is NaN.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

LossAgg = Literal["seq-mean-token-mean", "token-mean", "seq-mean-token-sum", "token-sum-norm"]

MAX_LOG_RATIO = 20.0
"""Log-ratios are cut here before `exp`, which would overflow float32 at 88 and poison sums with inf."""


class PolicyLoss(NamedTuple):
    """A policy loss before aggregation; all [B, T].

    `token_loss` is 0 where masked and the only part with a gradient; `ratio` is 1 where masked;
    `clipped_low` and `clipped_high` mark response tokens whose gradient the clip has removed.
    """

    token_loss: Tensor
    ratio: Tensor
    clipped_low: Tensor
    clipped_high: Tensor


def ppo_clip(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> PolicyLoss:
    """PPO's clipped objective: −min(ρA, clip(ρ, 1−clip_low, 1+clip_high)·A).

    ρ = exp(logprobs − old_logprobs). `advantages` is [B] or [B, T]. `dual_clip` c bounds
    the loss of negative advantages by −c·A.
    PPO: arXiv:1707.06347; clip_high > clip_low: DAPO, arXiv:2503.14476; dual clip: arXiv:1912.09729.
    """
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    advantages = torch.where(mask, advantages, 0.0)
    ratio = _ratio(logprobs, old_logprobs, mask)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    token_loss = -torch.min(ratio * advantages, clipped * advantages)
    if dual_clip is not None:
        token_loss = torch.where(advantages < 0, token_loss.min(-dual_clip * advantages), token_loss)
    ratio = ratio.detach()
    return PolicyLoss(
        token_loss=token_loss,
        ratio=ratio,
        clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        clipped_high=(ratio > 1 + clip_high) & (advantages > 0),
    )


def truncated_importance_weight(
    old_trainer: Tensor, old_engine: Tensor, mask: Tensor, cap: float | None
) -> Tensor:
    """min(exp(old_trainer − old_engine), cap) [B, T], without gradient, 0 where masked.

    Multiplied with a token loss it corrects for an engine that sampled from slightly other probabilities
    than the trainer computes. No `cap`: the plain ratio, to be logged.
    """
    weight = _ratio(old_trainer.detach(), old_engine.detach(), mask)
    return torch.where(mask, weight.clamp(max=cap) if cap is not None else weight, 0.0)


def token_weights(
    mask: Tensor,
    loss_agg: LossAgg,
    *,
    n_sequences: float,
    n_tokens: float,
    generate_max_len: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights w [B, T], 0 where masked, such that the loss of an optimizer step is Σ w · token_loss.

    `n_sequences` and `n_tokens` count the responses and response tokens of the *whole* step: all ranks,
    all micro-batches. The sum then does not depend on how the step is split. A row without response
    tokens counts as a sequence whose loss is 0.

    - `seq-mean-token-mean`: mean over sequences of the mean over tokens (GRPO)
    - `token-mean`: mean over tokens (DAPO)
    - `seq-mean-token-sum`: mean over sequences of the sum over tokens
    - `token-sum-norm`: sum over tokens / (sequences · generate_max_len) (Dr. GRPO)
    """
    if n_sequences <= 0:
        raise ValueError(f"n_sequences counts the responses of the whole step, got {n_sequences}")
    tokens = mask.to(dtype)
    match loss_agg:
        case "seq-mean-token-mean":
            return tokens / (tokens.sum(1, keepdim=True).clamp(min=1) * n_sequences)
        case "token-mean":
            return tokens / max(n_tokens, 1)
        case "seq-mean-token-sum":
            return tokens / n_sequences
        case "token-sum-norm":
            return tokens / (n_sequences * generate_max_len)
    raise ValueError(f"unknown loss_agg {loss_agg!r}")


def _ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> Tensor:
    """exp(logprobs − old_logprobs), 1 where masked."""
    return torch.where(mask, logprobs - old_logprobs, 0.0).clamp(max=MAX_LOG_RATIO).exp()
