"""Floating-point operations of forward and backward passes; a multiplication with its addition are two."""

from dataclasses import dataclass

from engine.footprint.job import Job
from engine.footprint.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Tokens:
    """What passes through a model: `forwarded` tokens, padding included, of which `scored` reach the head.

    `pairs`: over all sequences, the pairs of a token and one that it may attend to, times two: their lengths
    squared.
    """

    forwarded: float
    scored: float
    pairs: float

    def times(self, factor: float) -> "Tokens":
        return Tokens(self.forwarded * factor, self.scored * factor, self.pairs * factor)


def forward_flops(shape: ModelShape, tokens: Tokens) -> float:
    """Two per token and parameter in matrix products, and those of attention."""
    head = shape.vocab * shape.hidden
    products = 2 * (shape.params_matmul - head) * tokens.forwarded + 2 * head * tokens.scored
    return products + attention_flops(shape, tokens)


def attention_flops(shape: ModelShape, tokens: Tokens) -> float:
    """Of scores and values in all layers, forward; half the square is masked."""
    return 2 * tokens.pairs * shape.heads * shape.head_dim * shape.layers


def update_flops(job: Job, tokens: Tokens) -> float:
    """Forward and backward as they are computed: recomputed layers count again.

    Of a frozen base only the gradients of its inputs are computed, not those of its weights.
    """
    shape, memory = job.shape, job.config.memory
    head = 2 * shape.vocab * shape.hidden * tokens.scored
    attention = attention_flops(shape, tokens)
    layers = forward_flops(shape, tokens) - head - attention
    backward = 1 if job.config.model.lora_rank else 2
    again = 1 if memory.gradient_checkpointing else 0
    head_again = 1 if memory.fused_linear_logprob else 0
    return layers * (1 + backward + again) + attention * (3 + again) + head * (1 + backward + head_again)


def model_flops(job: Job, tokens: Tokens) -> float:
    """What MFU counts, as in `engine.throughput`: no attention and no recomputation, of active parameters."""
    each = 4 if job.config.model.lora_rank else 6
    return each * job.shape.params_active * tokens.forwarded
