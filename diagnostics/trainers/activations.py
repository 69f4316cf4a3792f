"""Bytes that the layers of a transformer keep, per token (`docs/planner.md` §1.4, §1.13)."""

from diagnostics.trainers.setup import Setup
from engine.footprint.shape import ModelShape, Vision

RECOMPUTED = 1.2
"""Of a layer's activations while it is recomputed and differentiated (measured: 1.1 to 1.35)."""
COMPILED = 0.75
"""Of the activations after torch.compile (torchtune: 9 of 60 GiB saved, of about 30 of activations)."""


def per_token_layer(shape: ModelShape) -> float:
    """What one layer without checkpointing saves for a token, under flash attention, in bf16."""
    heads, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    mlp = 8.0 * shape.mlp
    if shape.experts:
        chosen = shape.experts.per_token
        mlp = chosen * (8.0 * shape.experts.width + 4 * shape.hidden) + 8 * shape.experts.shared_width
    norms = 6 * (heads + kv) if shape.qk_norm else 0
    return mlp + 16 * shape.hidden + 4 * heads + 4 * kv + 4 * shape.heads + norms


def layer_per_token(setup: Setup) -> float:
    """What one layer needs for a token while it is differentiated."""
    return RECOMPUTED * per_token_layer(setup.shape) / setup.tp * (COMPILED if setup.compiled else 1)


def kept_per_token(setup: Setup) -> float:
    """What each layer keeps for a token from forward to backward."""
    shape = setup.shape
    if setup.checkpointing == "full":
        return 2 * shape.hidden
    if setup.checkpointing == "none":
        return per_token_layer(shape) / setup.tp * (COMPILED if setup.compiled else 1)
    heads, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matmuls = heads + 2 * kv + 2 * shape.hidden + 2 * shape.mlp
    return (matmuls + 2 * heads) / setup.tp + 2 * shape.hidden


def vision_bytes(setup: Setup) -> float:
    """What a vision tower keeps for the images of a micro-batch."""
    tower, images = setup.shape.vision, setup.images
    if tower is None or images is None:
        return 0
    patches = images.pixels / tower.patch**2
    if not images.trained and setup.lora_rank is None:
        return patches * _tower_layer(tower)
    if images.checkpointed:
        return patches * (2 * tower.hidden * tower.depth + RECOMPUTED * _tower_layer(tower))
    return patches * tower.depth * _tower_layer(tower)


def _tower_layer(tower: Vision) -> float:
    return 8 * tower.mlp + 24 * tower.hidden
