"""Which code computes attention and norms for a model, and what of it is kept for the backward pass."""

from functools import lru_cache
from typing import Literal

from engine.config.choices import installed
from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.models.families import FAMILIES

Attention = Literal["cpu", "flash", "sdpa", "eager"]
"""torch's flash-attention for CPUs; flash-attention 2; torch's kernels on GPUs; plain matrix products."""

Norms = Literal["one kernel", "composite", "transformers", "gemma"]
"""`F.rms_norm` on a GPU and elsewhere; and the steps that transformers takes, of two kinds."""

CAPPED = {"gemma2"}
"""Families whose attention scores are capped, which SDPA cannot do."""
GEMMA_NORMS = {"gemma", "gemma2", "gemma3", "gemma3_text"}


def attention(job: Job) -> Attention:
    """As `engine.models.attention` chooses."""
    config = job.config.model
    may_flash = config.bf16 and not job.place.on_cpu
    if may_flash and (config.flash_attn or (config.flash_attn is None and _flash_installed())):
        return "flash"
    if job.shape.family in CAPPED:
        return "eager"
    return "cpu" if job.place.on_cpu else "sdpa"


def norms(job: Job) -> Norms:
    """`engine.models.patches` puts torch's norm into some families."""
    if job.shape.family in FAMILIES:
        return "composite" if job.place.on_cpu else "one kernel"
    return "gemma" if job.shape.family in GEMMA_NORMS else "transformers"


def norm_inside(kind: Norms, number: int, *, trained: bool = True) -> int:
    """Bytes per element that a norm keeps besides what it gives out: its input, and the normalised values.

    Those are kept for the gradient of its weight alone.
    """
    if kind == "one kernel":
        return number
    normalised = number if kind == "transformers" else 4
    return 4 + normalised * trained


@lru_cache(maxsize=1)
def _flash_installed() -> bool:
    return installed("flash_attn")


def key_heads_kept(shape: ModelShape, attention: Attention, *, masked: bool) -> int:
    """Heads of keys as a kernel wants them: masked kernels want as many as there are of queries."""
    if attention == "eager" or (attention == "sdpa" and masked):
        return shape.heads
    return shape.kv_heads
