"""Log-probabilities straight from hidden states and the output head's weight; no logits are kept.

The forward pass keeps one normaliser per token. The backward pass computes the logits again, chunk by chunk,
and turns each chunk into gradients of hidden states and head before the next one begins.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from engine.findings import Finding, FindingsError, Fix
from engine.models.logit_transform import LogitTransform


class FusedLogprobs(torch.autograd.Function):
    """hidden [N, H], weight [V, H], bias [V] or None, targets [N] → log-probabilities and entropies [N].

    At most `chunk_size` rows of logits exist at a time, in float32 (float64 for float64 models). The entropy
    is differentiable only with `entropy_grad`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        transform: LogitTransform,
        chunk_size: int,
        entropy_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        parts = [
            _forward_chunk(_logits(h, weight, bias, transform), t)
            for h, t in zip(hidden.split(chunk_size), targets.split(chunk_size), strict=True)
        ]
        logprobs, entropy, normaliser = (torch.cat(values) for values in zip(*parts, strict=True))
        # The parameter itself, not a view: a strategy that frees it after the forward pass and gathers it for
        # the backward pass puts the values back into this very tensor.
        ctx.save_for_backward(hidden, weight, bias, targets, normaliser, entropy)
        ctx.transform, ctx.chunk_size, ctx.entropy_grad = transform, chunk_size, entropy_grad
        if not entropy_grad:
            ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, *rows = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        # Sums over chunks in the precision of the logits: rounded once, not once per chunk.
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=grad_logprobs.dtype) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=grad_logprobs.dtype) if needs_bias else None
        by_token = (hidden, *rows, grad_logprobs, grad_entropy)
        for first in range(0, len(hidden), ctx.chunk_size):
            chunk = slice(first, first + ctx.chunk_size)
            h, targets, normaliser, entropy, g_logprobs, g_entropy = (values[chunk] for values in by_token)
            logits = _logits(h, weight, bias, ctx.transform)
            slope = ctx.transform.slope(logits)
            grad = _logit_gradient(
                logits, targets, normaliser, entropy, g_logprobs, g_entropy if ctx.entropy_grad else None
            )
            grad = grad.mul_(slope).to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight, out=grad_hidden[chunk])
            if grad_weight is not None:
                grad_weight += grad.t() @ h
            if grad_bias is not None:
                grad_bias += grad.sum(0)
            del logits, slope, grad  # before the next chunk's logits are made
        return (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            *(None,) * 4,
        )


def fuse_head(head: nn.Module) -> None:
    """Let `head(hidden, targets, …)` give log-probabilities and entropies; `head(hidden)` stays as it was.

    The weight is used inside the head's own forward, so that whatever gathers weights by hooks of the module
    that owns them (ZeRO 3) has it whole in both passes. Raises FindingsError (model.head-not-linear).
    """
    if not isinstance(head, nn.Linear) or type(head).forward is not nn.Linear.forward:
        raise FindingsError([_not_linear(head)])
    head.forward = MethodType(_fused_forward, head)  # type: ignore[method-assign]


def _fused_forward(
    self: nn.Linear,
    hidden: Tensor,
    targets: Tensor | None = None,
    transform: LogitTransform | None = None,
    chunk_size: int = 0,
    entropy_grad: bool = False,
) -> Any:
    if targets is None:
        return F.linear(hidden, self.weight, self.bias)
    return FusedLogprobs.apply(hidden, self.weight, self.bias, targets, transform, chunk_size, entropy_grad)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, transform: LogitTransform) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    return transform.apply_(logits.to(torch.promote_types(logits.dtype, torch.float32)))


def _forward_chunk(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, entropies and normalisers of a chunk; overwrites its logits."""
    normaliser = logits.logsumexp(-1)
    log_p = logits.sub_(normaliser[:, None])
    logprobs = log_p.gather(-1, targets[:, None]).squeeze(-1)
    entropy = log_p.exp().mul_(log_p).sum(-1).neg_()
    return logprobs, entropy, normaliser


def _logit_gradient(
    logits: Tensor,
    targets: Tensor,
    normaliser: Tensor,
    entropy: Tensor,
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
) -> Tensor:
    """∂L/∂logits = g (onehot − p) − g_H p (log p + H); overwrites the logits."""
    log_p = logits.sub_(normaliser[:, None])
    factor = grad_logprobs[:, None]
    if grad_entropy is not None:
        factor = (log_p + entropy[:, None]).mul_(grad_entropy[:, None]).add_(factor)
    gradient = log_p.exp_().mul_(factor).neg_()
    return gradient.scatter_add_(-1, targets[:, None], grad_logprobs[:, None])


def _not_linear(head: nn.Module) -> Finding:
    return Finding(
        id="model.head-not-linear",
        severity="error",
        cause=f"fused_linear_logprob needs an output head that is one linear layer; this model's is a "
        f"{type(head).__name__}.",
        fixes=(Fix("leave fused_linear_logprob out", set={"memory.fused_linear_logprob": False}),),
        param="memory.fused_linear_logprob",
    )
