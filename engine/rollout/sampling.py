"""Choosing the next token of a batch of sequences."""

import torch
from torch import Tensor

from engine.rollout.base import SamplingParams

NUCLEUS_SHORTLIST = 512
"""Nucleus filtering first looks at this many likeliest tokens; sorting a whole vocabulary is far slower."""


def sample(
    logits: Tensor, params: SamplingParams, generator: torch.Generator, forbidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sample one token per row of `logits` [rows, vocabulary]; return tokens [rows] and log-probs [rows].

    `forbidden` (bool, broadcastable to the logits) removes candidates. Log-probs are those of `Completion`:
    over the whole vocabulary at the sampling temperature. All randomness comes from `generator`, one uniform
    number per row (inversion of the cumulative distribution).
    """
    logits = logits.float()
    if params.temperature not in (0, 1):
        logits = logits / params.temperature
    logprobs = logits.log_softmax(-1)
    allowed = logprobs if forbidden is None else logprobs.masked_fill(forbidden, -torch.inf)
    if params.temperature == 0:
        tokens = allowed.argmax(-1, keepdim=True)
    elif params.top_p < 1 or 0 < params.top_k < logits.shape[-1]:
        tokens = _sample_filtered(allowed.exp(), params, generator)
    else:
        tokens = _invert(allowed.exp(), generator)
    return tokens.squeeze(-1), logprobs.gather(-1, tokens).squeeze(-1)


def _sample_filtered(probs: Tensor, params: SamplingParams, generator: torch.Generator) -> Tensor:
    likeliest, order, mass = _likeliest(probs, params)
    # A token stays while the likelier ones together have not reached top_p, so the first always stays.
    dropped = likeliest.cumsum(-1) - likeliest >= params.top_p * mass
    dropped[:, 0] = False
    kept = likeliest.masked_fill(dropped, 0.0)
    return order.gather(-1, _invert(kept, generator))


def _likeliest(probs: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities and tokens in falling order, as many as the filter could keep, and the nucleus' whole."""
    vocabulary = probs.shape[-1]
    if 0 < params.top_k < vocabulary:
        top, order = probs.topk(params.top_k)
        return top, order, top.sum(-1, keepdim=True)
    mass = probs.sum(-1, keepdim=True)
    if vocabulary > 2 * NUCLEUS_SHORTLIST:
        top, order = probs.topk(NUCLEUS_SHORTLIST)
        if bool((top.sum(-1, keepdim=True) >= params.top_p * mass).all()):
            return top, order, mass
    return *probs.sort(-1, descending=True), mass


def _invert(probs: Tensor, generator: torch.Generator) -> Tensor:
    """Sample indices [rows, 1] in proportion to `probs` [rows, candidates], which need not sum to 1."""
    cumulative = probs.cumsum(-1)
    uniform = torch.rand(len(probs), 1, generator=generator, device=generator.device).to(probs.device)
    # 1 − uniform lies in (0, 1]: the first index whose cumulative mass reaches the target exists and is never
    # one of zero probability. Only NaN breaks that; the clamp then keeps indices valid until it is reported.
    target = (1 - uniform) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target).clamp_(max=probs.shape[-1] - 1)
