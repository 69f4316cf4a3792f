"""Seconds that a device computes in the trainer's passes: matrix products, memory traffic, launches."""

from engine.footprint.job import Job
from engine.footprint.links import Speeds
from engine.footprint.shape import ModelShape

PRODUCTS, REFERENCE_PEAK, FALL, MOST = 0.6, 312e12, 0.4, 0.8
"""Of the peak in matrix products: 0.6 · (312e12 / peak)^0.4, but not above 0.8. That is 0.6 on an A100, 0.38
on an H100, 0.77 on an RTX 4090: the faster, the more are they held back by power, memory and short kernels.
Fitted to published runs (torchtitan, torchtune, ms-swift)."""
FORWARD_TRAFFIC, BACKWARD_TRAFFIC = 3, 5
"""How often the activations that a layer keeps are written or read, without compilation: an estimate."""
FORWARD_LAUNCH, BACKWARD_LAUNCH = 0.25e-3, 0.45e-3
"""Seconds in which the host issues a layer's kernels, with the hooks of sharding: an estimate."""
MIXTURE = 0.3
"""Of the speed of matrix products, for a mixture's experts, which are many small ones: an estimate."""
COMPILED = 0.6
"""Of memory traffic and launches with torch.compile: an estimate."""


def compute_seconds(
    job: Job, speeds: Speeds, flops: float, tokens: float, micro_batches: int, *, training: bool
) -> float:
    """Of `flops` over so many tokens in all, in so many micro-batches; the host may be the slower one."""
    forwards = 1 + (training and job.config.memory.gradient_checkpointing)
    less = COMPILED if job.config.model.torch_compile else 1.0
    crossed = FORWARD_TRAFFIC * forwards + (BACKWARD_TRAFFIC if training else 0)
    traffic = less * crossed * layer_bytes(job.shape, job.compute_bytes) * job.shape.layers * tokens
    issued = FORWARD_LAUNCH * forwards + (BACKWARD_LAUNCH if training else 0)
    launches = less * issued * job.shape.layers * micro_batches
    computed = flops / (products_share(job, speeds) * speeds.peak) + traffic / speeds.bandwidth
    return computed if job.place.on_cpu else max(computed, launches)


def products_share(job: Job, speeds: Speeds) -> float:
    """Of the peak, that matrix products reach."""
    share = min(MOST, PRODUCTS * (REFERENCE_PEAK / speeds.peak) ** FALL)
    return share * (MIXTURE if job.shape.experts else 1.0)


def layer_bytes(shape: ModelShape, number: int) -> int:
    """About what a layer keeps of each token: docs/planner.md, activations, without its smaller terms."""
    experts = shape.experts
    width = experts.per_token * experts.width + experts.shared_width if experts else shape.mlp
    return number * (4 * width + 8 * shape.hidden + 4 * shape.heads * shape.head_dim)
