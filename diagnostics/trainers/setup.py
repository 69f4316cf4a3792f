"""What is to be estimated: another framework's configuration, reduced to what decides memory."""

from dataclasses import dataclass
from typing import Literal

from diagnostics.trainers.profile import Checkpointing, Strategy
from engine.footprint.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Engine:
    """A rollout engine on the cards of the trainer."""

    tp: int
    share: float
    """Of the card's memory."""
    sleeps: bool


@dataclass(frozen=True, slots=True)
class Images:
    """The vision tower's part of a micro-batch."""

    pixels: float
    trained: bool
    checkpointed: bool


@dataclass(frozen=True, slots=True)
class Setup:
    """One rank of a job. Bytes, tokens; `tokens` are of one training micro-batch, padding included."""

    shape: ModelShape
    params: float
    """Of the trained model, vision tower included; those of `shape` unless another size is stated."""
    strategy: Strategy
    ranks: int
    nodes: int
    card: float
    """Bytes of device memory that may be used."""
    tokens: float
    forward_tokens: float = 0
    """Of a micro-batch whose log-probabilities are only computed."""
    stage: int = 0
    """What is sharded, as ZeRO counts: 1 optimizer, 2 and gradients, 3 and parameters (FSDP)."""
    tp: int = 1
    pp: int = 1
    ep: int = 1
    """Cards that share the experts of a layer."""
    communicators: int = 1
    """NCCL groups of this rank."""
    checkpointing: Checkpointing = "full"
    objective: Literal["policy", "loss"] = "policy"
    lora_rank: int | None = None
    quantized: bool = False
    trained_embeddings: bool = False
    head: Literal["whole", "chunked", "fused"] | None = None
    """How logits are computed; None: as the framework does."""
    compiled: bool = False
    optimizer_bytes: float | None = None
    """Of Adam's moments per parameter, where they are quantized; paged ones are offloaded."""
    paged: bool = False
    """Optimizer states move to the host when the card is full."""
    step_in_backward: bool = False
    offload: frozenset[str] = frozenset()
    """`optimizer`, `params`, `activations` on the host in the update; `idle`: moved between the phases."""
    frozen_params: tuple[tuple[str, float], ...] = ()
    """Other models that only compute: name and parameters."""
    trained_params: tuple[tuple[str, float], ...] = ()
    """Other models that are trained too: a critic."""
    images: Images | None = None
    engine: Engine | None = None
