"""Log-probabilities of given tokens without the logits of the whole batch in memory."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def chunked_logprobs(
    hidden: Tensor,
    targets: Tensor,
    logits_of: Callable[[Tensor], Tensor],
    *,
    chunk_size: int,
    entropy_grad: bool = False,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, float32.

    hidden [N, H]; targets [N]; `logits_of` maps [n, H] to float32 [n, V]. At most `chunk_size` × V logits
    exist at a time: chunks are recomputed in the backward pass. Returns two tensors [N]. The entropy carries
    a gradient only with `entropy_grad`.
    """

    def one(h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return _logprobs(logits_of(h), t, entropy_grad)

    if len(targets) <= chunk_size:
        return one(hidden, targets)
    parts = [
        checkpoint(one, h, t, use_reentrant=False)
        for h, t in zip(hidden.split(chunk_size), targets.split(chunk_size), strict=True)
    ]
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _logprobs(logits: Tensor, targets: Tensor, entropy_grad: bool) -> tuple[Tensor, Tensor]:
    normaliser = logits.logsumexp(-1)
    logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - normaliser
    with torch.set_grad_enabled(entropy_grad and torch.is_grad_enabled()):
        probabilities = (logits - normaliser[:, None]).exp()
        entropy = normaliser - (probabilities * logits).sum(-1)
    return logprobs, entropy
