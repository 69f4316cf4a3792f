"""What decoder layers keep for the backward pass, and what one layer needs while it works."""

from functools import lru_cache

from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.footprint.terms import Term
from engine.footprint.workload import Batch

RECOMPUTED = 1.25
"""A layer's kept activations and the gradients that stand beside them (docs/planner.md 1.4: 1.1 to 1.35)."""


@lru_cache(maxsize=256)
def layer_bytes(shape: ModelShape, number: int) -> int:
    """Bytes that a decoder layer keeps for each token, computing in numbers of so many bytes."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norms = 4 * shape.hidden  # input and output of both
    attention = 2 * queries + 2 * keys + (queries + keys if shape.qk_norm else 0)
    return number * (norms + attention + _mlp_width(shape)) + 4 * shape.heads + 8


def _mlp_width(shape: ModelShape) -> int:
    experts = shape.experts
    if experts is None:
        return 4 * shape.mlp
    return experts.per_token * (4 * experts.width + 2 * shape.hidden) + 4 * experts.shared_width


def kept(job: Job, batch: Batch) -> tuple[Term, ...]:
    """Activations of all layers that wait for the backward pass."""
    shape, tokens, number = job.shape, batch.tokens, job.compute_bytes
    if job.config.memory.gradient_checkpointing:
        return (
            Term(
                "layer inputs",
                number * shape.hidden * shape.layers * tokens,
                f"{number} B × {shape.hidden:,} × {shape.layers} layers × {tokens:,} tokens",
                "engine/models/loading.py: recompute_activations",
            ),
        )
    each = layer_bytes(shape, number)
    return (
        Term(
            "activations",
            each * shape.layers * tokens,
            f"{each:,} B × {shape.layers} layers × {tokens:,} tokens",
            "docs/planner.md 1.4, with one-kernel norms",
        ),
    )


def working(job: Job, batch: Batch) -> tuple[Term, ...]:
    """One layer in its backward pass, beyond what is kept of it."""
    each = layer_bytes(job.shape, job.compute_bytes)
    share = RECOMPUTED if job.config.memory.gradient_checkpointing else RECOMPUTED - 1
    return (
        Term(
            "layer at work",
            round(share * each * batch.tokens),
            f"{share:g} × {each:,} B × {batch.tokens:,} tokens",
            "docs/planner.md 1.4",
        ),
    )


def without_gradient(job: Job, batch: Batch) -> tuple[Term, ...]:
    """One layer in a forward pass that keeps nothing."""
    shape, number = job.shape, job.compute_bytes
    width = shape.experts.per_token * shape.experts.width if shape.experts else shape.mlp
    each = number * (3 * width + 4 * shape.hidden)
    return (
        Term(
            "layer at work",
            each * batch.tokens,
            f"{each:,} B × {batch.tokens:,} tokens",
            "docs/planner.md 1.4",
        ),
    )
