"""Attention over rows with the flash_attn library, which only this file knows. Bfloat16 on a GPU only."""

from torch import Tensor

from engine.data.prompt_layout import PromptLayout, take


def padded(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Causal attention over rows padded on the right, [B, H, S, D] → [B, S, H, D]."""
    from flash_attn import flash_attn_func

    q, k, v = (t.transpose(1, 2) for t in (query, key, value))
    return flash_attn_func(q, k, v, softmax_scale=scaling, causal=True)


def laid_out(
    query: Tensor, key: Tensor, value: Tensor, layout: PromptLayout, scaling: float | None
) -> Tensor:
    """Attention over one row, [1, H, N, D] → [1, N, H, D].

    With fewer queries than keys, `causal` lets the last query see all keys (flash_attn from 2.1 on).
    """
    from flash_attn import flash_attn_varlen_func

    stretches = layout.stretches
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    if stretches.keys is not None:
        k, v = take(k, stretches.keys), take(v, stretches.keys)
    output: Tensor = flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q=stretches.query_ends,
        cu_seqlens_k=stretches.key_ends,
        max_seqlen_q=stretches.longest_query,
        max_seqlen_k=stretches.longest_key,
        softmax_scale=scaling,
        causal=True,
    )
    return output[None]
