"""Attention over rows with PyTorch's `scaled_dot_product_attention`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.prompt_layout import PromptLayout, take


def padded(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Causal attention over rows padded on the right, [B, H, S, D] → [B, S, H, D]."""
    output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2)


def laid_out(
    query: Tensor, key: Tensor, value: Tensor, layout: PromptLayout, scaling: float | None
) -> Tensor:
    """Attention over one row, [1, H, N, D] → [1, N, H, D], for prompts and for responses apart."""
    prompt_q, prompt_k, prompt_v = (_rows(t, layout.prompts) for t in (query, key, value))
    places = [padded(prompt_q, prompt_k, prompt_v, scaling).flatten(0, 1)]
    if layout.responses.numel():
        q, k, v = (_rows(t, layout.responses) for t in (query, key, value))
        k = torch.cat([take(prompt_k, layout.owner), k], dim=2)
        v = torch.cat([take(prompt_v, layout.owner), v], dim=2)
        if query.is_cuda:  # masked kernels there want as many key heads as query heads
            repeats = query.shape[1] // key.shape[1]
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        to_responses = F.scaled_dot_product_attention(
            q, k, v, attn_mask=layout.mask, scale=scaling, enable_gqa=not query.is_cuda
        )
        places.append(to_responses.transpose(1, 2).flatten(0, 1))
    return torch.cat(places).index_select(0, layout.restore)[None]


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """[1, H, N, D] at indices [R, L] → [R, H, L, D]."""
    by_token = tensor[0].transpose(0, 1)  # as the projections left it in memory: one row per token
    return take(by_token, index.flatten()).unflatten(0, index.shape).transpose(1, 2)
