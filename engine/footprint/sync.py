"""What the weight sync takes for a moment: a bucket of whole weights, and what the engine makes of them."""

from typing import NamedTuple

from engine.footprint.job import Job
from engine.footprint.states import sharded, stage
from engine.footprint.terms import Term

MIB = 1024**2
SHARDING = "engine/sharding.py"

Terms = tuple[Term, ...]


class Module(NamedTuple):
    """A module of the engine, and the numbers of elements of the weights that it is made of."""

    name: str
    weights: tuple[int, ...]

    @property
    def elements(self) -> int:
        return sum(self.weights)


def sync_terms(job: Job) -> Terms:
    """The temporaries of the sync at its worst moment."""
    moments = [_passing(job, module) for module in modules(job)]
    if _gathers(job):
        moments.append(_gathering(job))
    return max(moments, key=lambda terms: sum(term.bytes for term in terms)) + merged_adapters(job)


def modules(job: Job) -> tuple[Module, ...]:
    """The largest modules of a model, one of each kind."""
    shape = job.shape
    matrix = shape.hidden * shape.mlp
    kinds = [
        Module("embedding", (shape.vocab * shape.hidden,)),
        Module("gate and up projection", (2 * matrix,) if shape.fused else (matrix, matrix)),
    ]
    if shape.experts:
        each = shape.experts.count * shape.experts.width * shape.hidden
        kinds.append(Module("experts of a layer", (2 * each, each)))
    return tuple(kinds)


def largest_weight(job: Job) -> int:
    """Elements of the largest parameter."""
    return max(max(module.weights) for module in modules(job))


def _gathers(job: Job) -> bool:
    return stage(job) == 3 if job.strategy == "deepspeed" else sharded(job)


def _bucket(job: Job) -> int:
    """Bytes of a bucket of weights that are smaller than one."""
    return min(job.config.rollout.sync_bucket_mb * MIB, job.compute_bytes * job.shape.params)


def _gathering(job: Job) -> Terms:
    """A bucket, or a weight larger than one, and the shard that goes out."""
    largest = job.compute_bytes * largest_weight(job)
    size, ranks = max(_bucket(job), largest), 1 if job.strategy == "deepspeed" else job.shard_ranks
    what = "the largest weight" if size == largest else "sync_bucket_mb"
    whole = Term("gathered weights", size, f"{what}, {size / 1e6:.0f} MB", SHARDING)
    if job.strategy == "deepspeed":
        return (whole,)
    return (whole, Term("shards that go out", size // ranks, f"1/{ranks} of it", SHARDING))


def _passing(job: Job, module: Module) -> Terms:
    """As the last weight of a module has come: vLLM holds them all until then, and makes the module anew."""
    number, tp = job.compute_bytes, job.config.rollout.engine_tp_size
    terms: Terms = ()
    held = sum(module.weights) if job.engine == "vllm" else max(module.weights)
    if _gathers(job):
        alone = number * max(module.weights) > _bucket(job)
        size = number * held if alone else _bucket(job)
        formula = f"{number} B × {held:,} of the {module.name}" if alone else "sync_bucket_mb"
        terms += (Term("gathered weights", size, formula, SHARDING),)
        if not alone and job.strategy == "fsdp2" and job.shard_ranks > 1:  # shards lie apart in a bucket
            formula = f"{number} B × {held:,} of the {module.name}, out of shards"
            terms += (Term("assembled weights", number * held, formula, SHARDING),)
    if len(module.weights) > 1 and job.shape.experts and job.engine != "hf":
        formula = f"{number} B × {module.elements:,}, one weight for each of the {module.name}"
        terms += (
            Term("weights of experts", number * module.elements, formula, "engine/models/weight_names.py"),
        )
    if job.engine == "vllm":
        formula = f"{number} B × {module.elements:,} of the {module.name} / TP {tp}"
        source = "vllm/model_executor/model_loader/reload"
        terms += (Term("reloaded module", number * module.elements // tp, formula, source),)
    if job.engine == "sglang":
        terms += (Term("bucket for SGLang", _bucket(job), "sync_bucket_mb", "engine/rollout/sglang.py"),)
    return terms


def merged_adapters(job: Job) -> Terms:
    """Adding an adapter to its weight: the weight, the product and the sum in float32."""
    if not job.config.model.lora_rank:
        return ()
    elements, each = job.shape.hidden * job.shape.mlp, 12 if job.compute_bytes < 4 else 8
    return (Term("merged adapters", each * elements, f"{each} B × {elements:,}", "engine/models/lora.py"),)
