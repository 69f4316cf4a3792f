"""The start of a run: models are loaded into host memory, sharded onto the device, then the engine starts."""

from engine.footprint.job import Job
from engine.footprint.rollout import EngineStates, trainer_at_start
from engine.footprint.states import divided, shard_ranks, sharded
from engine.footprint.terms import Term

Moments = dict[str, tuple[Term, ...]]


def load_moments(job: Job, engine: EngineStates) -> Moments:
    """Device memory of a rank at each moment of the start, by what happens then."""
    held = trainer_at_start(job)
    moments = {_engine_start_words(job): held + engine.starting}
    if job.place.on_cpu:
        moments["as the policy is loaded and sharded"] = policy_copies(job) + _shard(job)
        if job.config.algorithm.init_kl_coef > 0 and not job.config.model.lora_rank:
            moments["as the reference model is loaded"] = (*held, reference_copy(job))
    return moments


def _engine_start_words(job: Job) -> str:
    if job.engine == "hf":
        return "as the engine's copy of the model is there"
    share = job.config.rollout.engine_mem_util
    of = "total" if job.engine == "vllm" else "free"
    return f"as the engine starts, whose share ({share:g} of the {of}) must be free"


def policy_copies(job: Job) -> tuple[Term, ...]:
    """What a rank holds in host memory while it loads the policy: each one the whole model.

    Trained weights come in float32; DeepSpeed keeps these until its masters are made, beside the parameters
    in bfloat16.
    """
    params, lora = job.shape.params, job.config.model.lora_rank > 0
    each = job.compute_bytes if lora else 4
    terms = [
        Term("loaded policy", each * params, f"{each} B × {params:,}, whole on every rank", "engine/build.py")
    ]
    if job.strategy == "deepspeed" and job.config.model.bf16 and not lora:
        terms.append(
            Term(
                "policy in bfloat16",
                2 * params,
                f"2 B × {params:,}, beside the float32 values until masters are made",
                "engine/strategy/zero_engine.py",
            )
        )
    return tuple(terms)


def reference_copy(job: Job) -> Term:
    """The reference model whole in host memory, on its way to the device."""
    params = job.shape.params
    formula = f"{job.compute_bytes} B × {params:,}, whole on every rank"
    return Term("loaded reference model", job.compute_bytes * params, formula, "engine/build.py")


def _shard(job: Job) -> tuple[Term, ...]:
    """Shards that are cut while the whole is still there."""
    n = shard_ranks(job)
    if job.strategy == "deepspeed" or not sharded(job) or n == 1:
        return ()
    size = 4 * divided(job.shape.params, n)
    return (Term("its shard", size, f"4 B × {job.shape.params:,} / {n} ranks", "engine/strategy/fsdp2.py"),)
