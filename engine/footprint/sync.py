"""What the weight sync takes for a moment: a bucket of whole weights, and what the engine makes of them."""

from engine.footprint.job import Job
from engine.footprint.rollout_vllm import weight_bytes
from engine.footprint.states import sharded, stage
from engine.footprint.terms import Term

MIB = 1024**2
SHARDING = "engine/sharding.py"


def sync_terms(job: Job) -> tuple[Term, ...]:
    """The temporaries of the sync at its worst, while the largest weights pass."""
    return tuple(term for term in (_gathered(job), _assembled(job), _adapters(job), _reloaded(job)) if term)


def largest_tensor(job: Job) -> int:
    """Elements of the largest parameter: the embedding, an MLP's matrix, or all experts of a layer."""
    shape = job.shape
    mlp = shape.hidden * shape.mlp * (2 if shape.fused else 1)
    experts = 2 * shape.experts.count * shape.experts.width * shape.hidden if shape.experts else 0
    return max(shape.vocab * shape.hidden, mlp, experts)


def largest_module(job: Job) -> int:
    """Elements of the engine's largest module: embedding, gate and up together, all experts of a layer."""
    shape = job.shape
    experts = 3 * shape.experts.count * shape.experts.width * shape.hidden if shape.experts else 0
    return max(shape.vocab * shape.hidden, 2 * shape.hidden * shape.mlp, experts)


def _gathered(job: Job) -> Term | None:
    if job.strategy == "deepspeed" and stage(job) < 3:
        return None
    if job.strategy == "fsdp2" and not sharded(job):
        return None
    bucket = job.config.rollout.sync_bucket_mb * MIB
    model, largest = job.compute_bytes * job.shape.params, job.compute_bytes * largest_tensor(job)
    size = max(min(bucket, model), largest)
    what = "the largest weight" if largest >= bucket else "sync_bucket_mb" if bucket <= model else "the model"
    formula = f"{what}, {size / 1e6:.0f} MB"
    if job.strategy == "deepspeed":
        return Term("gathered bucket", size, formula, "engine/strategy/deepspeed.py")
    ranks = job.shard_ranks
    return Term("gathered bucket", size + size // ranks, f"{formula}, and a shard of it, 1/{ranks}", SHARDING)


def _assembled(job: Job) -> Term | None:
    """Shards lie apart in a bucket: whole tensors are copies, which vLLM holds until it has a module's."""
    if job.strategy == "deepspeed" or not sharded(job):
        return None
    module = largest_module(job) if job.engine == "vllm" else largest_tensor(job)
    what = "largest module of the engine" if job.engine == "vllm" else "largest weight"
    formula = f"{job.compute_bytes} B × {module:,} of the {what}"
    return Term("assembled weights", job.compute_bytes * module, formula, SHARDING)


def _adapters(job: Job) -> Term | None:
    """Merging adapters: the product and the sum in float32, and the result."""
    if not job.config.model.lora_rank:
        return None
    elements = job.shape.hidden * job.shape.mlp
    each = 8 + job.compute_bytes
    return Term("merged adapters", each * elements, f"{each} B × {elements:,}", "engine/models/lora.py")


def _reloaded(job: Job) -> Term | None:
    """vLLM makes a module anew, processes it, and copies it into the one in use; SGLang gets copies."""
    if job.engine == "hf":
        return None
    if job.engine == "sglang":
        bucket = min(job.config.rollout.sync_bucket_mb * MIB, weight_bytes(job.shape, 1, job.compute_bytes))
        return Term("bucket for SGLang", bucket, "sync_bucket_mb", "engine/rollout/sglang.py")
    tp = job.config.rollout.engine_tp_size
    size = job.compute_bytes * largest_module(job) // tp
    formula = f"{job.compute_bytes} B × {largest_module(job):,} / TP {tp}"
    return Term("reloaded module", size, formula, "vllm/model_executor/model_loader/reload")
