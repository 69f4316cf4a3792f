"""The start of a run: models are loaded into host memory, sharded onto the device, then the engine starts."""

from engine.footprint.job import Job
from engine.footprint.rollout import EngineStates, trainer_at_start
from engine.footprint.states import divided, parameter_bytes, parameters, shard_ranks, sharded
from engine.footprint.terms import Term

Terms = tuple[Term, ...]
Moments = dict[str, Terms]
RANK_0 = ", read by rank 0"


def load_moments(job: Job, engine: EngineStates) -> Moments:
    """Device memory of a rank at each moment of the start, by what happens then."""
    held = trainer_at_start(job)
    moments = {_engine_start_words(job): held + engine.starting}
    if job.place.on_cpu:
        moments["as the policy is loaded and sharded"] = policy_copies(job) + _shard(job)
        moments["as the reference model is loaded"] = held + reference_copy(job)
    elif job.strategy == "fsdp2":
        moments["as embedding and head are sharded, after the layers"] = parameters(job) + _root(job)
    return moments


def _engine_start_words(job: Job) -> str:
    if job.engine == "hf":
        return "as the engine's copy of the model is there"
    share = job.config.rollout.engine_mem_util
    of = "total" if job.engine == "vllm" else "free"
    return f"as the engine starts, whose share ({share:g} of the {of}) must be free"


def policy_copies(job: Job) -> Terms:
    """What a rank that reads the policy takes of host memory: rank 0 under FSDP2, every rank under DeepSpeed.

    What is trained comes in float32; DeepSpeed keeps that until its masters are made, beside the parameters
    in bfloat16.
    """
    params, lora = job.shape.params, job.config.model.lora_rank > 0
    if lora or job.strategy == "fsdp2" or not job.config.model.bf16:
        who = RANK_0 if job.strategy == "fsdp2" else ""
        return _copy("loaded policy", job.compute_bytes if lora else 4, params, who)
    formula = f"2 B × {params:,}, beside the float32 values until masters are made"
    converted = Term("policy in bfloat16", 2 * params, formula, "engine/strategy/zero_engine.py")
    return (*_copy("loaded policy", 4, params), converted)


def reference_copy(job: Job) -> Terms:
    """The same of the reference model, which rank 0 reads in any case."""
    if job.config.algorithm.init_kl_coef == 0 or job.config.model.lora_rank:
        return ()
    return _copy("loaded reference model", job.compute_bytes, job.shape.params, RANK_0)


def engine_copy(job: Job) -> Terms:
    """The same of the hf engine's model, which every rank reads."""
    return _copy("loaded engine", job.compute_bytes, job.shape.params) if job.engine == "hf" else ()


def _copy(name: str, number: int, params: int, who: str = "") -> Terms:
    """Weights in bfloat16, as models are published, stay mapped to their file: pages that all ranks share.

    Measured: loading them takes 0.05 B of a rank's own memory per parameter in bfloat16, 4.04 B in float32.
    """
    if number == 2:
        return ()
    return (Term(name, number * params, f"{number} B × {params:,}{who}", "engine/models/load_once.py"),)


def _root(job: Job) -> Terms:
    """Embedding and head go to the device whole, and are cut there; layers have done so one by one."""
    root = job.shape.params_embedding + job.shape.params_head
    number = job.compute_bytes if job.config.model.lora_rank else parameter_bytes(job)
    source = "torch/distributed/fsdp/_fully_shard/_fsdp_init.py"
    return (Term("embedding and head, whole", number * root, f"{number} B × {root:,}", source),)


def _shard(job: Job) -> Terms:
    """Shards that are cut while the whole is still there."""
    n = shard_ranks(job)
    if job.strategy == "deepspeed" or not sharded(job) or n == 1:
        return ()
    size = 4 * divided(job.shape.params, n)
    return (Term("its shard", size, f"4 B × {job.shape.params:,} / {n} ranks", "engine/strategy/fsdp2.py"),)
