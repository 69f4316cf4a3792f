"""LightRFT's options in common terms. Batches count over all ranks; `rollout_batch_size` counts prompts."""

from typing import Any

import msgspec

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import From, Job, OffloadWhere, read_fields
from diagnostics.rules.lightrft_flags import flags_of
from diagnostics.rules.read_lightrft import example_of
from diagnostics.rules.telling import count, flag, number

GROUPED = ("rloo", "reinforce_baseline", "group_norm")

_FIELDS = {
    "model": "pretrain",
    "prompts": "rollout_batch_size",
    "samples": "n_samples_per_prompt",
    "update": "train_batch_size",
    "epochs": "max_epochs",
    "micro": "micro_train_batch_size",
    "micro_forward": "micro_rollout_batch_size",
    "prompt_len": "prompt_max_len",
    "response_len": "generate_max_len",
    "engine": "engine_type",
    "engine_tp": "engine_tp_size",
    "engine_share": "engine_mem_util",
    "engine_sleeps": "enable_engine_sleep",
    "checkpointing": "gradient_checkpointing",
    "bf16": "bf16",
    "lora_rank": "lora_rank",
    "lora_alpha": "lora_alpha",
    "estimator": "advantage_estimator",
    "kl_estimator": "kl_estimator",
    "clip_low": "eps_clip",
    "clip_high": "eps_clip",
    "temperature": "temperature",
    "top_p": "top_p",
    "lr": "actor_learning_rate",
    "episodes": "num_episodes",
}


def default(foreign: Foreign, name: str) -> Any:
    """The program's own value of an option."""
    return flags_of(example_of(foreign.program))[name].default


def job_of_lightrft(foreign: Foreign) -> Job:
    """The job; what rests on a value that is not known stays out."""
    table = {field: From(name, default(foreign, name)) for field, name in _FIELDS.items()}
    fields = read_fields(foreign, table)
    fields["lora_rank"] = fields.get("lora_rank") or None
    job = Job(framework="lightrft", ranks=foreign.ranks, nodes=foreign.nodes, colocated=True, **fields)
    nodes = foreign.nodes or 0
    fsdp = flag(foreign, "fsdp")
    stage = count(foreign, "zero_stage", default(foreign, "zero_stage"))
    weight = number(foreign, "init_kl_coef", default(foreign, "init_kl_coef")) or 0
    in_loss = flag(foreign, "use_kl_loss")
    names = dict(job.names) | {
        "ranks": "--nproc_per_node × --nnodes",
        "kl_loss": "init_kl_coef",
        "kl_reward": "init_kl_coef",
        "strategy": "fsdp",
        "stage": "zero_stage",
    }
    return msgspec.structs.replace(
        job,
        names=names,
        ranks_per_node=foreign.ranks // nodes if foreign.ranks and nodes else None,
        strategy="fsdp" if fsdp else "deepspeed",
        stage=3 if fsdp else stage,
        offload=frozenset(_offload(foreign, fsdp)),
        kl_loss=weight if in_loss else 0,
        kl_reward=0 if in_loss else weight,
        group=job.estimator in GROUPED if job.estimator else None,
        by_std=job.estimator == "group_norm",
        critic=job.estimator == "gae",
    )


def _offload(foreign: Foreign, fsdp: bool) -> list[OffloadWhere]:
    """`adam_offload` moves FSDP's Adam states out between phases only; DeepSpeed keeps them on the host."""
    where: list[OffloadWhere] = []
    if fsdp and flag(foreign, "fsdp_cpu_offload"):
        where += ["params", "optimizer"]
    elif flag(foreign, "adam_offload"):
        where.append("idle" if fsdp else "optimizer")
    return where
