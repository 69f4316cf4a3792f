"""Parameters gathered for use, and gradients on their way to their shards."""

from engine.footprint.job import Job
from engine.footprint.states import BUCKET, frozen, sharded, stage, trained
from engine.footprint.terms import Term

FSDP = "engine/strategy/fully_sharded.py"
ZERO = "deepspeed/runtime/zero"


def root_params(job: Job) -> int:
    """Embedding, head and final norm, which are sharded together."""
    shape = job.shape
    return shape.params_embedding + shape.params_head + shape.hidden


def root(job: Job) -> tuple[Term, ...]:
    """Embedding and head, whole from the first forward pass of the trained model to its backward pass."""
    if job.strategy != "fsdp2" or not sharded(job):
        return ()
    return (_elements("embedding and head, whole", job.compute_bytes, root_params(job), FSDP),)


def layers(job: Job) -> tuple[Term, ...]:
    """The layers that are whole at once: the one in use and the one that is fetched."""
    if job.strategy == "fsdp2":
        if not sharded(job):
            return ()
        return (_elements("gathered layers", 2 * job.compute_bytes, job.shape.params_largest_layer, FSDP),)
    if stage(job) < 3:
        return ()
    whole = root_params(job) + 2 * job.shape.params_largest_layer
    return (_elements("gathered parameters", job.compute_bytes, whole, f"{ZERO}/stage3.py"),)


def layer_gradients(job: Job) -> tuple[Term, ...]:
    """A layer's gradients whole, and in float32 on their way to the other ranks."""
    if job.strategy == "deepspeed":
        return ()
    if not sharded(job) or frozen(job):
        return ()
    each = job.compute_bytes + 4
    return (_elements("gradients of a layer, whole", each, job.shape.params_largest_layer, FSDP),)


def root_gradients(job: Job) -> tuple[Term, ...]:
    """Gradients of embedding and head, whole, and in float32 on their way."""
    if job.strategy == "deepspeed" or not sharded(job) or frozen(job):
        return ()
    each = job.compute_bytes + 4
    return (_elements("gradients of embedding and head, whole", each, root_params(job), FSDP),)


def head_gradient(job: Job) -> tuple[Term, ...]:
    """The head's gradient waits, whole, for the end of the backward pass."""
    if job.strategy == "deepspeed" or not sharded(job) or frozen(job):
        return ()
    size = job.shape.vocab * job.shape.hidden
    return (_elements("gradient of the head, whole", job.compute_bytes, size, FSDP),)


def buckets(job: Job) -> tuple[Term, ...]:
    """DeepSpeed's buckets while gradients are reduced."""
    if not (level := stage(job)):
        return ()
    bucket = min(BUCKET, trained(job))
    each = {1: 8, 2: 2 * job.compute_bytes + 4, 3: job.compute_bytes + 4}[level]
    return (_elements("gradient buckets", each, bucket, f"{ZERO}: reduce_bucket_size"),)


def _elements(name: str, each: int, elements: int, source: str) -> Term:
    return Term(name, each * elements, f"{each} B × {elements:,}", source)
