"""Attention over a micro-batch that is one row, in which responses may share one copy of their prompt.

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
from engine.models.sequence_parallel import SequenceParallel

IMPLEMENTATION = "rftui_rows"
FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
"""Model types whose attention is plain causal attention with rotary positions; others get no layout."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    prompt_layout: PromptLayout | None = None,
    sequence_parallel: SequenceParallel | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query [1, H, N, D], key and value likewise; gives [1, N, H, D].

    Without `prompt_layout`: SDPA on rows padded on the right. With `sequence_parallel` the N tokens are this
    rank's slice of the row that the layout describes.
    """
    if prompt_layout is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, None, dropout=dropout, scaling=scaling, is_causal=True
        )
        return output, None
    if sequence_parallel is None:
        return _laid_out(query, key, value, prompt_layout, scaling), None
    query, key, value = sequence_parallel.to_heads(query, key, value, prompt_layout.n_tokens)
    return sequence_parallel.to_tokens(_laid_out(query, key, value, prompt_layout, scaling)), None


def _laid_out(
    query: Tensor, key: Tensor, value: Tensor, layout: PromptLayout, scaling: float | None
) -> Tensor:
    prompt_q, prompt_k, prompt_v = (_rows(t, layout.prompts) for t in (query, key, value))
    to_prompts = F.scaled_dot_product_attention(
        prompt_q, prompt_k, prompt_v, is_causal=True, scale=scaling, enable_gqa=True
    )
    places = [_flat(to_prompts)]
    if layout.responses.numel():
        q, k, v = (_rows(t, layout.responses) for t in (query, key, value))
        k = torch.cat([take(prompt_k, layout.owner), k], dim=2)
        v = torch.cat([take(prompt_v, layout.owner), v], dim=2)
        if query.is_cuda:  # masked kernels there want as many key heads as query heads
            repeats = query.shape[1] // key.shape[1]
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        places.append(
            _flat(
                F.scaled_dot_product_attention(
                    q, k, v, attn_mask=layout.mask, scale=scaling, enable_gqa=not query.is_cuda
                )
            )
        )
    return torch.cat(places).index_select(0, layout.restore)[None]


def _rows(tensor: Tensor, index: Tensor) -> Tensor:
    """[1, H, N, D] at indices [R, L] → [R, H, L, D]."""
    by_token = tensor[0].transpose(0, 1)  # as the projections left it in memory: one row per token
    return take(by_token, index.flatten()).unflatten(0, index.shape).transpose(1, 2)


def _flat(tensor: Tensor) -> Tensor:
    """[R, H, L, D] → [R·L, H, D]."""
    return tensor.transpose(1, 2).flatten(0, 1)


def takes_layouts(model: Any) -> bool:
    """Let `model` take micro-batches with a layout, if its attention allows; says whether it does."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    if config.model_type not in FAMILIES or kinds != {"full_attention"} or windowed:
        return False
    model.set_attn_implementation(IMPLEMENTATION)
    return True


AttentionInterface.register(IMPLEMENTATION, attend)
