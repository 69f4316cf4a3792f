"""Attention over a micro-batch in which the responses of a group share one copy of their prompt.

All of a transformer but attention works on single tokens and needs to know nothing of the layout; attention
is done here, for prompts and for responses apart. It is registered with transformers by name, so the models
themselves are not touched.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from engine.data.prompt_layout import PromptLayout, take

IMPLEMENTATION = "rftui_shared_prompts"
FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
"""Model types whose attention is plain causal attention with rotary positions; others get padded rows."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    prompt_layout: PromptLayout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [1, H, N, D], key and value likewise; gives [1, N, H, D].

    Without `prompt_layout`: SDPA on rows padded on the right.
    """
    if prompt_layout is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, None, dropout=dropout, scaling=scaling, is_causal=True
        )
        return output, None
    layout = prompt_layout
    if query.is_cuda:  # masked kernels there want as many key heads as query heads
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    prompt_q, prompt_k, prompt_v = (_rows(t, layout.prompts) for t in (query, key, value))
    to_prompts = F.scaled_dot_product_attention(
        prompt_q, prompt_k, prompt_v, is_causal=True, scale=scaling, enable_gqa=True
    )
    q, k, v = (_rows(t, layout.responses) for t in (query, key, value))
    k = torch.cat([take(prompt_k, layout.owner), k], dim=2)
    v = torch.cat([take(prompt_v, layout.owner), v], dim=2)
    to_responses = F.scaled_dot_product_attention(
        q, k, v, attn_mask=layout.mask, scale=scaling, enable_gqa=not query.is_cuda
    )
    places = torch.cat([_flat(to_prompts), _flat(to_responses)])
    return places.index_select(0, layout.restore)[None], None


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """[1, H, N, D] at indices [R, L] → [R, H, L, D]."""
    by_token = tensor[0].transpose(0, 1)  # as the projections left it in memory: one row per token
    return take(by_token, index.flatten()).unflatten(0, index.shape).transpose(1, 2)


def _flat(tensor: Tensor) -> Tensor:
    """[R, H, L, D] → [R·L, H, D]."""
    return tensor.transpose(1, 2).flatten(0, 1)


def share_prompts(model: Any) -> bool:
    """Let `model` take micro-batches with shared prompts, if its attention allows; says whether it does."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if config.model_type not in FAMILIES or kinds != {"full_attention"} or windowed:
        return False
    model.set_attn_implementation(IMPLEMENTATION)
    return True


AttentionInterface.register(IMPLEMENTATION, attend)
