"""TRL's settings in common terms. Its batch sizes count completions, not prompts."""

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import From, Job, OffloadWhere, read_fields
from diagnostics.rules.read_trl import ACCELERATE
from diagnostics.rules.telling import count, flag, number, text
from diagnostics.rules.trl_defaults import DEFAULTS
from diagnostics.trainers.profile import Strategy

_FIELDS = {
    "model": "model_name_or_path",
    "samples": "num_generations",
    "epochs": "num_iterations",
    "micro": "per_device_train_batch_size",
    "prompt_len": "max_prompt_length",
    "response_len": "max_completion_length",
    "checkpointing": "gradient_checkpointing",
    "lora_alpha": "lora_alpha",
    "quantized": "load_in_4bit",
    "temperature": "temperature",
    "top_p": "top_p",
    "lr": "learning_rate",
    "clip_low": "epsilon",
}
ENGINE_FIELDS = {
    "model_len": "vllm_max_model_length",
    "engine_tp": "vllm_tensor_parallel_size",
    "engine_share": "vllm_gpu_memory_utilization",
    "engine_sleeps": "vllm_enable_sleep_mode",
}
"""What counts with an engine on the trainer's cards alone."""
NAMES = {
    "prompts": "generation_batch_size",
    "update": "gradient_accumulation_steps",
    "micro_forward": "per_device_train_batch_size",
    "engine": "use_vllm",
    "colocated": "vllm_mode",
    "kl_loss": "beta",
    "clip_high": "epsilon_high",
    "lora_rank": "lora_r",
    "ranks": f"{ACCELERATE}num_processes",
    "stage": f"{ACCELERATE}deepspeed_config.zero_stage",
    "estimator": "scale_rewards",
    "episodes": "num_train_epochs",
}


def job_of_trl(foreign: Foreign) -> Job:
    """The job; without a known number of processes, what is counted over all of them is not known."""
    colocated = flag(foreign, "use_vllm") and text(foreign, "vllm_mode", "colocate") == "colocate"
    table = _FIELDS | (ENGINE_FIELDS if colocated else {})
    fields = read_fields(foreign, {field: From(name, DEFAULTS.get(name)) for field, name in table.items()})
    fields["names"] = {**fields["names"], **NAMES, **ENGINE_FIELDS}
    ranks, nodes = foreign.ranks, foreign.nodes
    generated, samples = generation_batch(foreign), fields.get("samples")
    whole = generated is not None and samples and generated % samples == 0
    strategy, stage = _strategy(foreign)
    epsilon = fields.get("clip_low")
    return Job(
        framework="trl",
        ranks=ranks,
        nodes=nodes,
        ranks_per_node=ranks // nodes if ranks and nodes and ranks % nodes == 0 else None,
        prompts=generated // samples if whole and generated and samples else None,
        update=update_batch(foreign),
        micro_forward=fields.get("micro"),
        engine="vllm" if flag(foreign, "use_vllm") else "hf",
        colocated=colocated,
        strategy=strategy,
        stage=stage,
        offload=_offload(foreign),
        head="chunked",
        bf16=loads_bf16(foreign),
        lora_rank=count(foreign, "lora_r", 16) if flag(foreign, "use_peft") else None,
        estimator="GRPO",
        group=True,
        by_std=str(foreign.get("scale_rewards", "group")).lower() in ("group", "true"),
        kl_loss=number(foreign, "beta", 0.0) or 0,
        kl_estimator="k3",
        clip_high=number(foreign, "epsilon_high", epsilon),
        episodes=count(foreign, "num_train_epochs", 3),
        **fields,
    )


def global_batch(foreign: Foreign) -> int | None:
    """Completions of one micro-batch over all processes: `per_device_train_batch_size` × processes."""
    each = count(foreign, "per_device_train_batch_size", 8)
    return each * foreign.ranks if each and foreign.ranks else None


def generation_batch(foreign: Foreign) -> int | None:
    """Completions per rollout, as `GRPOConfig.__post_init__` works them out."""
    given = count(foreign, "generation_batch_size")
    if given is not None:
        return given
    batch = global_batch(foreign)
    accumulated = count(foreign, "gradient_accumulation_steps", 1)
    steps = count(foreign, "steps_per_generation", accumulated)
    if foreign.get("steps_per_generation") is None:
        steps = accumulated
    return batch * steps if batch and steps else None


def update_batch(foreign: Foreign) -> int | None:
    """Completions per optimizer step."""
    batch, accumulated = global_batch(foreign), count(foreign, "gradient_accumulation_steps", 1)
    return batch * accumulated if batch and accumulated else None


def loads_bf16(foreign: Foreign) -> bool | None:
    """Whether the weights are loaded in 16 bits; a model given by name is loaded in float32 unless told."""
    kwargs = foreign.get("model_init_kwargs")
    inner = kwargs.get("dtype", kwargs.get("torch_dtype")) if isinstance(kwargs, dict) else None
    named = str(inner or foreign.get("dtype") or foreign.get("torch_dtype") or "float32")
    if "$" in named or named == "auto":
        return True if named == "auto" else None
    return "16" in named


def _strategy(foreign: Foreign) -> tuple[Strategy | None, int | None]:
    stage = count(
        foreign, f"{ACCELERATE}deepspeed_config.zero_stage", count(foreign, f"{ACCELERATE}zero_stage")
    )
    kind = text(foreign, f"{ACCELERATE}distributed_type").upper()
    if kind == "DEEPSPEED" or flag(foreign, f"{ACCELERATE}use_deepspeed") or "deepspeed" in foreign.settings:
        return "deepspeed", 2 if stage is None else stage
    if kind == "FSDP" or flag(foreign, f"{ACCELERATE}use_fsdp") or foreign.get("fsdp"):
        return "fsdp", 3
    if foreign.ranks == 1:
        return "single", 0
    if kind == "MULTI_GPU" or (foreign.ranks and _says_how_it_starts(foreign)):
        return "ddp", 0
    return None, None


def _says_how_it_starts(foreign: Foreign) -> bool:
    """A command line whose files were found; a YAML file alone leaves it to accelerate's configuration."""
    missing = any(problem.id == "check.trl.file-missing" for problem in foreign.problems)
    return not missing and not foreign.path.endswith((".yaml", ".yml", ".py"))


def _offload(foreign: Foreign) -> frozenset[OffloadWhere]:
    found: set[OffloadWhere] = set()
    for what, name in (("optimizer", "offload_optimizer_device"), ("params", "offload_param_device")):
        device = text(
            foreign, f"{ACCELERATE}deepspeed_config.{name}", text(foreign, f"{ACCELERATE}{name}", "none")
        )
        if device.lower() in ("cpu", "nvme"):
            found.add(what)  # type: ignore[arg-type]
    if flag(foreign, f"{ACCELERATE}fsdp_config.fsdp_offload_params"):
        found |= {"optimizer", "params"}
    return frozenset(found)
