"""What a rank holds of the models themselves: parameters, gradients, optimizer states, reference."""

from engine.config.choices import zero_stage
from engine.footprint.job import Job
from engine.footprint.lora import lora_params
from engine.footprint.shards import Shards, adapter_shards, model_shards
from engine.footprint.terms import Term

FSDP = "engine/strategy/fsdp2.py"
ZERO = "engine/strategy/zero_engine.py"
MASTERS = "engine/strategy/mp_optimizer.py"
BUCKET = 500_000_000
"""As in `engine.strategy.zero_engine`, which imports torch; a test holds them together."""


def divided(elements: int, ranks: int) -> int:
    """Elements of the fullest of so many shards."""
    return -(-elements // ranks)


def trained(job: Job) -> int:
    """Parameters that are trained: all of them, or those of the adapters."""
    model = job.config.model
    if model.lora_rank:
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


def optimizer_on_host(job: Job) -> bool:
    """Whether DeepSpeed keeps masters and states in host memory, and steps there."""
    return job.strategy == "deepspeed" and job.config.memory.adam_offload and not job.place.on_cpu


def shard_ranks(job: Job, *, parameters: bool = True) -> int:
    """Ranks that share parameters (or gradients and states) of what is trained."""
    if job.strategy == "deepspeed":
        return job.place.ranks if stage(job) == 3 or not parameters else 1
    return job.shard_ranks if sharded(job) else 1


def trained_shards(job: Job, ranks: int) -> Shards:
    """What is trained, cut over so many ranks as FSDP2 does it."""
    model = job.config.model
    if model.lora_rank:
        return adapter_shards(job.shape, model.lora_rank, model.target_modules, ranks)
    return model_shards(job.shape, ranks)


def parameters(job: Job) -> tuple[Term, ...]:
    """The trained model at rest."""
    if on_host(job):
        return ()
    n, each = shard_ranks(job), parameter_bytes(job)
    source = FSDP if job.strategy == "fsdp2" else ZERO
    own = _share(job, "parameters", each, trained(job), trained_shards(job, n).all, n, source)
    if not (base := frozen(job)):
        return (own,)
    shards = model_shards(job.shape, n).all
    return (_share(job, "frozen base", job.compute_bytes, base, shards, n, source), own)


def optimizer(job: Job) -> tuple[Term, ...]:
    """Adam's states, and masters where parameters are not float32; they exist from the first step on."""
    if on_host(job) or optimizer_on_host(job):
        return ()
    masters = job.strategy == "deepspeed" or job.config.memory.use_mp_opt
    source = ZERO if job.strategy == "deepspeed" else MASTERS if masters else FSDP
    name, each = ("masters, Adam", 12) if masters else ("Adam", 8)
    return (_states(job, name, each, source),)


def gradients(job: Job) -> tuple[Term, ...]:
    """Gradients of all trained parameters, as they wait for the step."""
    if on_host(job):
        return ()
    if job.strategy == "fsdp2":
        return (_states(job, "gradients", parameter_bytes(job), FSDP),)
    if stage(job) == 1:
        whole = trained(job)
        return (_share(job, "gradients", 4, whole, whole, 1, "deepspeed stage_1_and_2.py: grad_accum"),)
    return (_states(job, "gradients", 4, ZERO),)


def reference(job: Job) -> tuple[Term, ...]:
    """The reference model's shard, where there is one."""
    config = job.config
    if config.algorithm.init_kl_coef == 0 or config.model.lora_rank:
        return ()
    if config.memory.fsdp_cpu_offload and not job.place.on_cpu:
        return ()
    n = job.shard_ranks if sharded(job) else 1
    whole, shard = job.shape.params, model_shards(job.shape, n).all
    return (_share(job, "reference model", job.compute_bytes, whole, shard, n, "engine/build.py"),)


def reference_travels(job: Job) -> bool:
    """Whether the reference model is in host memory outside its own pass."""
    return job.config.memory.ref_reward_offload and not job.place.on_cpu


def _states(job: Job, name: str, each: int, source: str) -> Term:
    """What is sharded like optimizer states: under DeepSpeed evenly, whatever the rows."""
    n, whole = shard_ranks(job, parameters=False), trained(job)
    shard = divided(whole, n) if job.strategy == "deepspeed" else trained_shards(job, n).all
    return _share(job, name, each, whole, shard, n, source)


def _share(job: Job, name: str, each: int, whole: int, shard: int, ranks: int, source: str) -> Term:
    words = f"{each} B × {whole:,}"
    if ranks > 1:
        words += f" / {ranks} ranks"
        if shard > divided(whole, ranks):
            words += f", whole rows: {shard:,}"
    return Term(name, each * shard, words, source)
