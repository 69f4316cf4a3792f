"""Trinity-RFT's settings in common terms, after its own silent adjustments."""

import math
from typing import Any

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import From, Job, OffloadWhere, read_fields
from diagnostics.rules.job_verl import KL
from diagnostics.rules.read_trinity import explorer_gpus
from diagnostics.rules.telling import count, flag, number, text
from diagnostics.rules.trinity_defaults import BY_STD, DEFAULTS, GROUPED, ROLLOUT, VERL, WITHOUT_REFERENCE

TASKSET = "buffer.explorer_input.taskset"

_FIELDS = {
    "model": "model.model_path",
    "ranks_per_node": "cluster.gpu_per_node",
    "nodes": "cluster.node_num",
    "prompts": "buffer.batch_size",
    "samples": "algorithm.repeat_times",
    "engine_tp": f"{ROLLOUT}.tensor_parallel_size",
    "engine_share": f"{ROLLOUT}.gpu_memory_utilization",
    "estimator": "algorithm.algorithm_type",
    "episodes": "buffer.total_epochs",
}
NAMES = {
    "update": "buffer.train_batch_size",
    "micro": f"{VERL}.actor.ppo_micro_batch_size_per_gpu",
    "token_budget": "trainer.max_token_len_per_gpu",
    "model_len": "model.max_model_len",
    "prompt_len": "model.max_prompt_tokens",
    "response_len": "model.max_response_tokens",
    "ranks": "cluster.gpu_per_node",
    "engine": f"{ROLLOUT}.engine_type",
    "engine_ranks": f"{ROLLOUT}.engine_num",
    "checkpointing": f"{VERL}.model.enable_gradient_checkpointing",
    "packs": f"{VERL}.model.use_remove_padding",
    "sp": "trainer.ulysses_sequence_parallel_size",
    "lora_rank": "model.lora_configs",
    "kl_loss": "algorithm.kl_loss_fn_args.kl_coef",
    "kl_reward": "algorithm.kl_penalty_fn_args.kl_coef",
    "kl_estimator": "algorithm.kl_loss_fn",
    "lr": "algorithm.optimizer.lr",
    "temperature": "model.temperature",
    "top_p": "model.top_p",
    "strategy": "trainer.trainer_strategy",
    "clip_low": "algorithm.policy_loss_fn_args.clip_range_low",
    "clip_high": "algorithm.policy_loss_fn_args.clip_range_high",
}


def job_of_trinity(foreign: Foreign) -> Job:
    """The job as Trinity would run it; the trainer's cards are those that the explorer leaves."""
    fields = read_fields(foreign, {field: From(name, DEFAULTS.get(name)) for field, name in _FIELDS.items()})
    names = {**fields.pop("names"), **NAMES}
    temperature = f"{TASKSET}.rollout_args.temperature"
    if temperature in foreign.settings:
        names["temperature"] = temperature
    if f"{VERL}.actor.optim.lr" in foreign.settings and NAMES["lr"] not in foreign.settings:
        names["lr"] = f"{VERL}.actor.optim.lr"
    algorithm = str(fields.get("estimator", "ppo")).lower()
    prompts, samples = fields.get("prompts"), fields.get("samples")
    train = count(foreign, "buffer.train_batch_size", 0)
    model_len, prompt_len, response_len = lengths(foreign)
    sp = count(foreign, NAMES["sp"], count(foreign, f"{VERL}.actor.ulysses_sequence_parallel_size", 1)) or 1
    colocated = foreign.get("mode") == "colocate"
    rank, alpha = _lora(foreign)
    return Job(
        framework="trinity",
        names=names,
        ranks=foreign.ranks,
        update=train or (prompts * samples if prompts and samples else None),
        prompt_len=prompt_len,
        response_len=response_len,
        model_len=model_len,
        engine="sglang" if "sglang" in text(foreign, f"{ROLLOUT}.engine_type", "vllm") else "vllm",
        colocated=colocated,
        engine_ranks=None if colocated else explorer_gpus(foreign),
        sp=sp,
        **_micro_batches(foreign, model_len, sp),
        **_training(foreign),
        lora_rank=rank,
        lora_alpha=alpha,
        critic=algorithm == "ppo",
        group=algorithm in GROUPED,
        by_std=algorithm in BY_STD,
        **_kl(foreign, algorithm),
        temperature=number(foreign, temperature, number(foreign, "model.temperature", 1.0)),
        top_p=number(foreign, "model.top_p", 1.0),
        lr=number(foreign, names["lr"], 1e-6),
        clip_low=number(foreign, NAMES["clip_low"], 0.2),
        clip_high=number(foreign, NAMES["clip_high"], 0.2),
        **fields,
    )


def lengths(foreign: Foreign) -> tuple[int | None, int | None, int | None]:
    """Model length, prompt and response: what is missing is filled in as Trinity fills it."""
    longest = count(foreign, "model.max_model_len")
    prompt, response = count(foreign, "model.max_prompt_tokens"), count(foreign, "model.max_response_tokens")
    if longest is None and prompt is not None and response is not None:
        longest = prompt + response
    if longest is None:
        return None, prompt, response
    if prompt is None and response is None:
        return longest, longest // 2, longest - longest // 2
    if prompt is None and response is not None:
        response = min(response, longest - 1)
        return longest, longest - response, response
    if response is None and prompt is not None:
        prompt = min(prompt, longest - 1)
        return longest, prompt, longest - prompt
    return longest, prompt, response


def _micro_batches(foreign: Foreign, model_len: int | None, sp: int) -> dict[str, Any]:
    dynamic = flag(foreign, "trainer.use_dynamic_bsz", flag(foreign, f"{VERL}.actor.use_dynamic_bsz", True))
    each = count(foreign, NAMES["micro"])
    if not dynamic:
        return {"micro": each, "micro_forward": each}
    budget = count(foreign, NAMES["token_budget"], count(foreign, f"{VERL}.actor.ppo_max_token_len_per_gpu"))
    if budget is None and model_len:
        budget = math.ceil(2 * model_len / max(1, sp))
    return {"token_budget": budget, "forward_token_budget": budget}


def _training(foreign: Foreign) -> dict[str, Any]:
    named = text(foreign, "trainer.trainer_strategy", text(foreign, f"{VERL}.actor.strategy", "fsdp"))
    fsdp = f"{VERL}.actor.fsdp_config"
    offload: set[OffloadWhere] = set()
    in_update = flag(foreign, f"{fsdp}.offload_policy") and named == "fsdp2"
    if flag(foreign, f"{fsdp}.param_offload") or in_update:
        offload.add("params")
    if flag(foreign, f"{fsdp}.optimizer_offload") or in_update:
        offload.add("optimizer")
    shards = count(foreign, f"{fsdp}.fsdp_size", -1)
    return {
        "strategy": "megatron" if named == "megatron" else "fsdp",
        "stage": 1 if named == "megatron" else 3,
        "shard_ranks": shards if shards and shards > 0 else None,
        "offload": frozenset(offload),
        "offload_in_update": in_update,
        "checkpointing": flag(foreign, f"{VERL}.model.enable_gradient_checkpointing", True),
        "packs": flag(foreign, f"{VERL}.model.use_remove_padding", True),
        "head": "fused" if flag(foreign, f"{VERL}.model.use_fused_kernels") else None,
    }


def _kl(foreign: Foreign, algorithm: str) -> dict[str, Any]:
    loss = text(foreign, "algorithm.kl_loss_fn", "none" if algorithm in WITHOUT_REFERENCE else "k2").lower()
    penalty = text(foreign, "algorithm.kl_penalty_fn", "none").lower()
    return {
        "kl_loss": 0 if loss == "none" else number(foreign, NAMES["kl_loss"], 0.001) or 0,
        "kl_reward": 0 if penalty == "none" else number(foreign, NAMES["kl_reward"], 0.001) or 0,
        "kl_estimator": None if loss == "none" else KL.get(loss),
    }


def _lora(foreign: Foreign) -> tuple[int | None, float | None]:
    adapters = foreign.get("model.lora_configs")
    if not isinstance(adapters, list) or not adapters or not isinstance(adapters[0], dict):
        return None, None
    rank, alpha = adapters[0].get("lora_rank", 32), adapters[0].get("lora_alpha", 32)
    return (rank if isinstance(rank, int) else None), (
        float(alpha) if isinstance(alpha, int | float) else None
    )
