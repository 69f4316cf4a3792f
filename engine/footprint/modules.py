"""The modules of a causal language model that hold weights, by the names transformers gives them."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from engine.footprint.shape import Experts, Latent, ModelShape


class Module(NamedTuple):
    """One weight tensor, and the bias that may go with it."""

    name: str
    """Inside its layer, or inside the model."""
    weight: tuple[int, ...]
    """Sizes, outputs first."""
    bias: bool = False
    linear: bool = False
    """It is a linear layer, which an adapter can be put into."""

    @property
    def params(self) -> int:
        return prod(self.weight) + self.bias * self.weight[0]

    @property
    def tensors(self) -> int:
        return 1 + self.bias


Layer = tuple[Module, ...]


def linear(name: str, inputs: int, outputs: int, bias: bool = False) -> Module:
    """A linear layer, whose weight is [outputs, inputs]."""
    return Module(name, (outputs, inputs), bias, linear=True)


def layers(shape: "ModelShape") -> tuple[tuple[str, Layer], ...]:
    """Every decoder layer in order: the prefix of its modules' names, and its modules."""
    dense = shape.experts.dense_layers if shape.experts else shape.layers
    path = layer_path(shape)
    kinds = tuple(layer_kinds(shape))
    return tuple((f"{path}.{i}.", kinds[0 if i < dense else -1][1]) for i in range(shape.layers))


def layer_kinds(shape: "ModelShape") -> Iterator[tuple[int, Layer]]:
    """The kinds of decoder layers: how many there are, and their modules. Dense ones first."""
    dense = shape.experts.dense_layers if shape.experts else shape.layers
    if dense:
        yield dense, _layer(shape, _dense_mlp(shape))
    if shape.experts and dense < shape.layers:
        yield shape.layers - dense, _layer(shape, _experts(shape, shape.experts))


def layer_path(shape: "ModelShape") -> str:
    """Where transformers keeps the decoder layers."""
    if shape.family == "gpt2":
        return "transformer.h"
    return "model.language_model.layers" if shape.vision else "model.layers"


def embeddings(shape: "ModelShape") -> Layer:
    """The token embedding, and the learned positions of those that have them."""
    tokens = Module("embed_tokens", (shape.vocab, shape.hidden))
    return (tokens, Module("wpe", (shape.positions, shape.hidden))) if shape.positions else (tokens,)


def final_norm(shape: "ModelShape") -> Module:
    """The norm before the output head."""
    return Module("norm", (shape.hidden,), shape.norm_bias)


def _layer(shape: "ModelShape", mlp: Layer) -> Layer:
    norms = [
        Module(f"norm_{i}", (shape.hidden,), shape.norm_bias) for i in range(1, shape.norms_per_layer + 1)
    ]
    return (*_attention(shape), *mlp, *norms)


def _attention(shape: "ModelShape") -> Layer:
    if shape.latent:
        return _latent_attention(shape, shape.latent)
    h, bias = shape.hidden, shape.qkv_bias
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    if shape.family == "gpt2":
        return linear("attn.c_attn", h, 3 * h, bias), linear("attn.c_proj", h, h, shape.out_bias)
    projections = [
        linear("self_attn.q_proj", h, queries, bias),
        linear("self_attn.k_proj", h, keys, bias),
        linear("self_attn.v_proj", h, keys, bias),
    ]
    if shape.fused:
        projections = [linear("self_attn.qkv_proj", h, queries + 2 * keys, bias)]
    norms = [Module(f"self_attn.{x}_norm", (shape.head_dim,)) for x in "qk"] if shape.qk_norm else []
    return (*projections, linear("self_attn.o_proj", queries, h, shape.out_bias), *norms)


def _latent_attention(shape: "ModelShape", latent: "Latent") -> Layer:
    h, heads, bias = shape.hidden, shape.heads, shape.qkv_bias
    queries = heads * (latent.nope_dim + latent.rope_dim)
    from_hidden = [linear("self_attn.q_proj", h, queries)]
    if latent.q_rank:
        from_hidden = [
            linear("self_attn.q_a_proj", h, latent.q_rank, bias),
            Module("self_attn.q_a_layernorm", (latent.q_rank,)),
            linear("self_attn.q_b_proj", latent.q_rank, queries),
        ]
    return (
        *from_hidden,
        linear("self_attn.kv_a_proj_with_mqa", h, latent.kv_rank + latent.rope_dim, bias),
        Module("self_attn.kv_a_layernorm", (latent.kv_rank,)),
        linear("self_attn.kv_b_proj", latent.kv_rank, heads * (latent.nope_dim + latent.value_dim)),
        linear("self_attn.o_proj", heads * latent.value_dim, h, shape.out_bias),
    )


def _dense_mlp(shape: "ModelShape") -> Layer:
    h, width, bias = shape.hidden, shape.mlp, shape.mlp_bias
    if shape.family == "gpt2":
        return linear("mlp.c_fc", h, width, bias), linear("mlp.c_proj", width, h, bias)
    if shape.fused:
        return linear("mlp.gate_up_proj", h, 2 * width, bias), linear("mlp.down_proj", width, h, bias)
    return _mlp("mlp", h, width, bias, shape.gated)


def _mlp(name: str, hidden: int, width: int, bias: bool = False, gated: bool = True) -> Layer:
    gate = (linear(f"{name}.gate_proj", hidden, width, bias),) if gated else ()
    up, down = (
        linear(f"{name}.up_proj", hidden, width, bias),
        linear(f"{name}.down_proj", width, hidden, bias),
    )
    return (*gate, up, down)


def _experts(shape: "ModelShape", experts: "Experts") -> Layer:
    """The weights of all experts are two tensors, which are no linear layers; nor is the router."""
    h, count, width = shape.hidden, experts.count, experts.width
    shared: Layer = ()
    if experts.shared_gate:
        shared = (
            *_mlp("mlp.shared_expert", h, experts.shared_width),
            linear("mlp.shared_expert_gate", h, 1),
        )
    elif experts.shared_width:
        shared = _mlp("mlp.shared_experts", h, experts.shared_width, shape.mlp_bias)
    return (
        Module("mlp.gate", (count, h)),
        Module("mlp.experts.gate_up_proj", (count, 2 * width, h)),
        Module("mlp.experts.down_proj", (count, h, width)),
        *shared,
    )
