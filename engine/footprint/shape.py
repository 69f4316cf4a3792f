"""The dimensions of a model and what follows from them exactly: parameters, KV cache, matrix products."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts in place of an MLP: `count` gated MLPs of `width`, `per_token` of them used."""

    count: int
    per_token: int
    width: int
    shared_width: int = 0
    """Width of the MLP that every token goes through besides; 0: none."""
    dense_layers: int = 0
    """Layers that keep an ordinary MLP."""


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek): keys and values come from one small vector per token."""

    q_rank: int | None
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Vision:
    """A vision tower: its parameters, and what decides its activations."""

    params: int
    depth: int
    hidden: int
    mlp: int
    heads: int
    patch: int
    merge: int
    """Patches along one side that become one token of the language model."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions of a causal language model, as its `config.json` gives them."""

    name: str
    family: str
    """`model_type` of the configuration."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    """Width of the (dense) MLP."""
    vocab: int
    tied: bool = False
    """Embedding and output head are one tensor."""
    gated: bool = True
    """The MLP has three matrices (gate, up, down), not two."""
    qkv_bias: bool = False
    qk_norm: bool = False
    norms_per_layer: int = 2
    window: int | None = None
    """Sliding window of attention, in tokens."""
    windowed_layers: int = 0
    experts: Experts | None = None
    latent: Latent | None = None
    vision: Vision | None = None
