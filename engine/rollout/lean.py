"""Decoding one token per sequence for the Llama family with few, large operations.

Same arithmetic as transformers' modules, but with query/key/value and gate/up projections as one matrix each,
rotary tables computed once and no per-layer bookkeeping: for small models on a CPU that bookkeeping is most
of the time. The fused matrices are the storage of the model's own parameters, so nothing is held twice and
writing to the parameters is all a weight update takes.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from engine.rollout.kv import SlotCache

FAMILY = {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}
STATIC_ROPE = {"default", "linear", "llama3", "yarn"}
"""Rotary embeddings whose frequencies do not depend on the sequence length."""


def supports(model: PreTrainedModel) -> bool:
    """Whether `LeanDecoder` computes exactly what `model` does."""
    if type(model).__name__ not in FAMILY:
        return False
    config = model.config
    return (
        config.hidden_act == "silu"
        and config.rope_parameters.get("rope_type", "default") in STATIC_ROPE
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and all(_is_plain(layer) for layer in model.model.layers)
        and type(model.lm_head) is nn.Linear
    )


def _is_plain(layer: Any) -> bool:
    """No adapters, no quantisation, biases only where the decoder expects them."""
    attention, mlp = layer.self_attn, layer.mlp
    qkv = (attention.q_proj, attention.k_proj, attention.v_proj)
    others = (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    return (
        all(type(linear) is nn.Linear for linear in (*qkv, *others))
        and len({linear.bias is None for linear in qkv}) == 1
        and all(linear.bias is None for linear in others)
    )


class _Layer(NamedTuple):
    """Weights of one layer; matrices are [inputs, outputs]."""

    input_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
    output: Tensor
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor


class LeanDecoder:
    """`model`'s forward pass for one new token per row. Takes over the storage of its projection weights."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        config, weight = model.config, model.model.embed_tokens.weight
        self.eps = config.rms_norm_eps
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.scale = model.model.layers[0].self_attn.scaling
        self.layers = [_fuse_layer(layer) for layer in model.model.layers]
        self.rope = self._rope_table(256)
        self.small_ops = weight.device.type == "cpu" and weight.dtype == torch.float32
        """Whether the fused kernels of PyTorch are slower than their parts, as they are here."""
        self.eps_tensor = torch.tensor(self.eps, device=weight.device)

    def __call__(self, tokens: Tensor, positions: Tensor, cache: SlotCache, mask: Tensor | None) -> Tensor:
        """Logits [rows, vocabulary] after `tokens` [rows] at `positions` [rows], whose keys enter `cache`.

        `mask` [rows, columns + 1] is true where a row may attend; None: everywhere.
        """
        if cache.extent.columns > len(self.rope):
            self.rope = self._rope_table(cache.extent.columns)
        rows, heads, kv_heads = len(tokens), self.heads, self.kv_heads
        cos, sin = self.rope[positions].unsqueeze(2).unbind(1)  # each [rows, 1, head size]
        bias = self._attention_bias(mask)
        hidden = F.embedding(tokens, self.model.model.embed_tokens.weight)
        for layer, cached in zip(self.layers, cache.layers, strict=True):
            normed = self._norm(hidden, layer.input_norm)
            qkv = _linear(normed, layer.qkv, layer.qkv_bias).view(rows, heads + 2 * kv_heads, -1)
            qk, v = qkv.split((heads + kv_heads, kv_heads), dim=1)
            if layer.q_norm is not None and layer.k_norm is not None:
                q, k = qk.split((heads, kv_heads), dim=1)
                qk = torch.cat((self._norm(q, layer.q_norm), self._norm(k, layer.k_norm)), dim=1)
            qk = torch.addcmul(qk * cos, qk.roll(qk.shape[-1] // 2, -1), sin)
            q, k = qk.split((heads, kv_heads), dim=1)
            keys, values = cached.append(k, v)
            # Heads that share keys become queries of one head: no copy of the keys per query head.
            q = (q * self.scale).reshape(rows * kv_heads, heads // kv_heads, -1)
            attended = self._attend(q, keys, values, bias)
            hidden.addmm_(attended.reshape(rows, -1), layer.output)
            gate, up = (self._norm(hidden, layer.post_norm) @ layer.gate_up).chunk(2, dim=-1)
            hidden.addmm_(F.silu(gate).mul_(up), layer.down)
        return F.linear(self._norm(hidden, self.model.model.norm.weight), self.model.lm_head.weight)

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Attention of scaled q [pairs, queries, size] over keys and values [pairs, columns, size].

        A pair is a row and a key/value head.
        """
        if not self.small_ops:
            # As the heads of one sequence, because the fast kernels want four dimensions.
            q, keys, values = q.unsqueeze(0), keys.unsqueeze(0), values.unsqueeze(0)
            return F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=1.0)
        # For a few queries SDPA's CPU kernel takes twice the time, given keys stored column by column.
        transposed = keys.transpose(1, 2)
        scores = torch.bmm(q, transposed) if bias is None else torch.baddbmm(bias, q, transposed)
        return torch.bmm(scores.softmax(-1), values)

    def _attention_bias(self, mask: Tensor | None) -> Tensor | None:
        """What is added to the scores of every pair, [pairs, 1, columns]."""
        if mask is None:
            return None
        dtype = self.model.model.embed_tokens.weight.dtype
        bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
        return bias.repeat_interleave(self.kv_heads, dim=0).unsqueeze(1)

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        if not self.small_ops:
            return F.rms_norm(hidden, hidden.shape[-1:], weight, self.eps)
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        scale = torch.addcmul(self.eps_tensor, length, length, value=1 / hidden.shape[-1]).rsqrt_()
        return (hidden * scale).mul_(weight)

    def _rope_table(self, length: int) -> Tensor:
        """cos and sign-adjusted sin of every position, [length, 2, head size].

        With the first half of sin negated, rotate_half is a plain roll by half the head size.
        """
        weight = self.model.model.embed_tokens.weight
        positions = torch.arange(length, device=weight.device).unsqueeze(0)
        cos, sin = self.model.model.rotary_emb(weight, positions)
        first, second = sin[0].chunk(2, dim=-1)
        return torch.stack((cos[0], torch.cat((-first, second), dim=-1)), dim=1)


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return inputs @ weight if bias is None else torch.addmm(bias, inputs, weight)


def _fuse_layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _fuse(attention.q_proj, attention.k_proj, attention.v_proj)
    return _Layer(
        input_norm=layer.input_layernorm.weight,
        qkv=qkv,
        qkv_bias=qkv_bias,
        q_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
        k_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
        output=_fuse(attention.o_proj)[0],
        post_norm=layer.post_attention_layernorm.weight,
        gate_up=_fuse(mlp.gate_proj, mlp.up_proj)[0],
        down=_fuse(mlp.down_proj)[0],
    )


@torch.no_grad()
def _fuse(*linears: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """One matrix [inputs, all outputs] and bias for several projections, whose parameters become views."""
    sizes = [linear.out_features for linear in linears]
    stacked = torch.cat([linear.weight for linear in linears])
    if stacked.device.type == "cpu":
        # With few rows, CPU matrix products are up to twice as fast on this layout.
        stacked = stacked.t().contiguous().t()
    for linear, weight in zip(linears, stacked.split(sizes), strict=True):
        linear.weight.data = weight
    if linears[0].bias is None:
        return stacked.t(), None
    bias = torch.cat([linear.bias for linear in linears])
    for linear, part in zip(linears, bias.split(sizes), strict=True):
        linear.bias.data = part
    return stacked.t(), bias
