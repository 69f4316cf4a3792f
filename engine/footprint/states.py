"""What a rank holds of the models themselves: parameters, gradients, optimizer states, reference."""

from engine.config.choices import zero_stage
from engine.footprint.job import Job
from engine.footprint.terms import Term

FSDP = "engine/strategy/fsdp2.py"
ZERO = "engine/strategy/zero_engine.py"
BUCKET = 500_000_000
"""As in `engine.strategy.zero_engine`, which imports torch; a test holds them together."""


def divided(elements: int, ranks: int) -> int:
    """Elements of the fullest of so many shards."""
    return -(-elements // ranks)


def trained(job: Job) -> int:
    """Parameters that are trained: all of them, or those of the adapters."""
    model = job.config.model
    if model.lora_rank:
        from engine.footprint.lora import lora_params

        return lora_params(job.shape, model.lora_rank, model.target_modules)
    return job.shape.params


def frozen(job: Job) -> int:
    """Parameters under adapters."""
    return job.shape.params if job.config.model.lora_rank else 0


def stage(job: Job) -> int:
    """The ZeRO stage, 0 under FSDP2."""
    return zero_stage(job.config) if job.strategy == "deepspeed" else 0


def sharded(job: Job) -> bool:
    """Whether `fully_shard` is used: on one rank in float32 without offload models stay as they are."""
    config = job.config
    return job.place.ranks > 1 or config.model.bf16 or config.memory.fsdp_cpu_offload


def parameter_bytes(job: Job) -> int:
    """Bytes of a trained parameter as it rests: float32, or what is computed in."""
    if job.strategy == "deepspeed" or job.config.memory.use_mp_opt:
        return job.compute_bytes
    return 4


def on_host(job: Job) -> bool:
    """Whether FSDP2 keeps shards, gradients and states in memory that is not the device's."""
    return job.strategy == "fsdp2" and job.config.memory.fsdp_cpu_offload and not job.place.on_cpu


def states_travel(job: Job) -> bool:
    """Whether optimizer states are on the device for updates alone."""
    memory = job.config.memory
    return (
        job.strategy == "fsdp2"
        and memory.adam_offload
        and not memory.fsdp_cpu_offload
        and not job.place.on_cpu
    )


def shard_ranks(job: Job, *, parameters: bool = True) -> int:
    """Ranks that share parameters (or gradients and states) of what is trained."""
    if job.strategy == "deepspeed":
        return job.place.ranks if stage(job) == 3 or not parameters else 1
    return job.shard_ranks if sharded(job) else 1


def parameters(job: Job) -> tuple[Term, ...]:
    """The trained model at rest."""
    if on_host(job):
        return ()
    n, each = shard_ranks(job), parameter_bytes(job)
    source = FSDP if job.strategy == "fsdp2" else ZERO
    terms = [_share("parameters", each, trained(job), n, source)]
    if base := frozen(job):
        terms.insert(0, _share("frozen base", job.compute_bytes, base, n, source))
    return tuple(terms)


def optimizer(job: Job) -> tuple[Term, ...]:
    """Adam's states, and masters where parameters are not float32; they exist from the first step on."""
    if on_host(job) or (
        job.strategy == "deepspeed" and job.config.memory.adam_offload and not job.place.on_cpu
    ):
        return ()
    n = shard_ranks(job, parameters=False)
    if job.strategy == "deepspeed":
        return (
            _share("masters, Adam", 12, trained(job), n, "deepspeed/runtime/zero: flat float32 partitions"),
        )
    masters = job.config.memory.use_mp_opt
    name, each = ("masters, Adam", 12) if masters else ("Adam", 8)
    return (_share(name, each, trained(job), n, "engine/strategy/mp_optimizer.py" if masters else FSDP),)


def gradients(job: Job) -> tuple[Term, ...]:
    """Gradients of all trained parameters, as they wait for the step."""
    if on_host(job):
        return ()
    n = shard_ranks(job, parameters=False)
    if job.strategy == "deepspeed":
        if stage(job) == 1:
            return (
                _share(
                    "gradients", 4, trained(job), 1, "deepspeed stage_1_and_2.py: grad_accum, float32, whole"
                ),
            )
        return (_share("gradients", 4, trained(job), n, "deepspeed: float32 partition (grad_accum_dtype)"),)
    each = parameter_bytes(job)
    return (_share("gradients", each, trained(job), n, FSDP),)


def reference(job: Job) -> tuple[Term, ...]:
    """The reference model's shard, where there is one."""
    config = job.config
    if config.algorithm.init_kl_coef == 0 or config.model.lora_rank:
        return ()
    if config.memory.fsdp_cpu_offload and not job.place.on_cpu:
        return ()
    n = job.shard_ranks if sharded(job) else 1
    return (_share("reference model", job.compute_bytes, job.shape.params, n, "engine/build.py"),)


def reference_travels(job: Job) -> bool:
    """Whether the reference model is in host memory outside its own pass."""
    return job.config.memory.ref_reward_offload and not job.place.on_cpu


def _share(name: str, each: int, elements: int, ranks: int, source: str) -> Term:
    words = f"{each} B × {elements:,}" + (f" / {ranks} ranks" if ranks > 1 else "")
    return Term(name, each * divided(elements, ranks), words, source)
