"""OpenRLHF's options in common terms. Its batch sizes count over all ranks; the rollout's counts prompts."""

from typing import Any

import msgspec

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import From, Job, OffloadWhere, read_fields
from diagnostics.rules.read_openrlhf import flag_of, is_dotted, own
from diagnostics.rules.telling import count, flag, number, text

GROUPED = ("rloo", "reinforce_baseline", "group_norm", "dr_grpo")

_FIELDS = {
    "model": "pretrain",
    "nodes": "actor_num_nodes",
    "ranks_per_node": "actor_num_gpus_per_node",
    "prompts": "rollout_batch_size",
    "samples": "n_samples_per_prompt",
    "update": "train_batch_size",
    "epochs": "max_epochs",
    "micro": "micro_train_batch_size",
    "micro_forward": "micro_rollout_batch_size",
    "response_len": "generate_max_len",
    "model_len": "max_len",
    "engine_tp": "vllm_tensor_parallel_size",
    "engine_share": "vllm_gpu_memory_utilization",
    "engine_sleeps": "vllm_enable_sleep",
    "stage": "zero_stage",
    "sp": "ring_attn_size",
    "train_tp": "ds_tensor_parallel_size",
    "checkpointing": "gradient_checkpointing",
    "packs": "packing_samples",
    "lora_rank": "lora_rank",
    "lora_alpha": "lora_alpha",
    "quantized": "load_in_4bit",
    "reward_model": "reward_pretrain",
    "estimator": "advantage_estimator",
    "kl_estimator": "kl_estimator",
    "temperature": "temperature",
    "top_p": "top_p",
    "lr": "actor_learning_rate",
    "episodes": "num_episodes",
}


def job_of_openrlhf(foreign: Foreign) -> Job:
    """The job; what rests on a value that is not known stays out."""
    table = {field: From(own(foreign, name), _default(foreign, name)) for field, name in _FIELDS.items()}
    if not is_dotted(foreign):
        table["prompt_len"] = From("prompt_max_len", 1024)
    fields = read_fields(foreign, table)
    fields["lora_rank"] = fields.get("lora_rank") or None
    job = Job(framework="openrlhf", ranks=foreign.ranks, strategy="deepspeed", **fields)
    together = is_on(foreign, "colocate_all_models") and not is_on(foreign, "async_train")
    names = dict(job.names) | {
        "ranks": own(foreign, "actor_num_gpus_per_node"),
        "kl_loss": own(foreign, "init_kl_coef"),
        "kl_reward": own(foreign, "init_kl_coef"),
        "clip_low": own(foreign, "eps_clip"),
        "clip_high": own(foreign, "eps_clip"),
        "token_budget": own(foreign, "train_max_tokens_per_gpu"),
    }
    return msgspec.structs.replace(
        job,
        names=names,
        colocated=together,
        engine_sleeps=job.engine_sleeps if together else None,
        offload=frozenset(_offload(foreign, together)),
        critic=job.estimator == "gae",
        by_std=job.estimator == "group_norm",
        group=job.estimator in GROUPED if job.estimator else None,
        bf16=_is_bf16(foreign),
        **_engines(foreign, job, together),
        **_budgets(foreign),
        **_algorithm(foreign),
    )


def is_on(foreign: Foreign, name: str) -> bool:
    """Whether a switch is given, by its name up to 0.9."""
    return flag(foreign, own(foreign, name))


def _default(foreign: Foreign, name: str) -> Any:
    return flag_of(foreign, name).default


def _engines(foreign: Foreign, job: Job, together: bool) -> dict[str, Any]:
    engines = count(foreign, own(foreign, "vllm_num_engines"))
    if not engines:
        return {"engine": "hf" if own(foreign, "vllm_num_engines") not in foreign.settings else None}
    return {"engine": "vllm", "engine_ranks": None if together else engines * job.engine_tp}


def _budgets(foreign: Foreign) -> dict[str, Any]:
    if not is_on(foreign, "use_dynamic_batch"):
        return {}
    train = count(foreign, own(foreign, "train_max_tokens_per_gpu"), 16_192)
    forward = count(foreign, own(foreign, "rollout_max_tokens_per_gpu")) or train
    return {
        "micro": None,
        "micro_forward": None,
        "token_budget": train,
        "forward_token_budget": forward,
        "packs": True,
    }


def _algorithm(foreign: Foreign) -> dict[str, Any]:
    weight = number(foreign, own(foreign, "init_kl_coef"), 0.01) or 0
    in_loss = is_on(foreign, "use_kl_loss")
    clip = number(foreign, own(foreign, "eps_clip"), 0.2)
    both = foreign.get(own(foreign, "eps_clip_low_high"))
    low, high = both if isinstance(both, list) and all(isinstance(v, float) for v in both) else (clip, clip)
    return {
        "kl_loss": weight if in_loss else 0,
        "kl_reward": 0 if in_loss else weight,
        "clip_low": low,
        "clip_high": high,
    }


def _offload(foreign: Foreign, together: bool) -> list[OffloadWhere]:
    if is_on(foreign, "adam_offload"):
        return ["optimizer"]
    return ["idle"] if together and is_on(foreign, "deepspeed_enable_sleep") else []


def _is_bf16(foreign: Foreign) -> bool:
    """Later releases have `--param_dtype`, bf16 if not given, in the place of `--bf16`."""
    return flag(foreign, "bf16") or text(foreign, own(foreign, "param_dtype"), "bf16") == "bf16"
