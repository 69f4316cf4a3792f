"""The dimensions of a model and what follows from them exactly: parameters, KV cache, matrix products."""

from dataclasses import dataclass

from engine.footprint.counts import Counts, counts


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
    shared_gate: bool = False
    """The shared MLP's output is weighed by a gate of its own (Qwen2-MoE)."""


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
    frames: int = 2
    """Frames of a video that become one patch."""
    channels: int = 3
    out: int = 0
    """Width of what it gives to the language model."""
    positions: int = 0
    """Learned position embeddings (Qwen3-VL)."""
    deepstack: int = 0
    """Mergers that feed early layers of the language model (Qwen3-VL)."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions of a causal language model, as its `config.json` gives them.

    Counts are those of the model as transformers builds it; a weight that two modules share counts once.
    """

    name: str
    family: str
    """`model_type` of the configuration."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    """Of queries and keys."""
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
    out_bias: bool = False
    """The projection after attention has a bias."""
    mlp_bias: bool = False
    norm_bias: bool = False
    fused: bool = False
    """Queries, keys and values come from one matrix, gate and up from another (Phi-3)."""
    positions: int = 0
    """Learned position embeddings (GPT-2)."""
    context: int | None = None
    """Longest sequence that the model was made for, where its configuration says so."""
    exact: bool = True
    """The counts are those of the real model; otherwise `note` says what they are."""
    note: str = ""

    @property
    def params(self) -> int:
        """All parameters, the vision tower's included."""
        return self._counts.params

    @property
    def params_text(self) -> int:
        """Parameters without the vision tower."""
        return self._counts.params_text

    @property
    def params_embedding(self) -> int:
        """Parameters of the token embedding."""
        return self._counts.embedding

    @property
    def params_head(self) -> int:
        """Parameters of the output head; 0 when it is the embedding."""
        return self._counts.head

    @property
    def params_layer(self) -> int:
        """Parameters of a decoder layer, the mean of all."""
        return self._counts.layer

    @property
    def params_largest_layer(self) -> int:
        """Parameters of the largest decoder layer."""
        return self._counts.largest_layer

    @property
    def params_active(self) -> int:
        """Parameters of the language model that one token uses: all but the experts it is not sent to."""
        return self._counts.active

    @property
    def params_matmul(self) -> int:
        """Parameters that one token is multiplied with: active ones, the head once, no input embedding."""
        return self._counts.matmul

    @property
    def n_tensors(self) -> int:
        """Number of weight tensors, the vision tower's included."""
        return self._counts.tensors

    def kv_bytes(self, tp: int, number_bytes: int) -> int:
        """Bytes of KV cache that one token of context takes on each of `tp` ranks.

        A rank holds whole heads, ranks beyond their number hold copies; a latent is copied to all. All layers
        are counted: those with a sliding window need no more than `window` tokens.
        """
        if self.latent:
            return self.layers * (self.latent.kv_rank + self.latent.rope_dim) * number_bytes
        return 2 * self.layers * -(-self.kv_heads // tp) * self.head_dim * number_bytes

    @property
    def _counts(self) -> Counts:
        return counts(self)
