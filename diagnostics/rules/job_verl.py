"""verl's settings in common terms. Its batch sizes count prompts, except where the name says per GPU."""

import msgspec

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import From, Job, OffloadWhere, read_fields
from diagnostics.rules.telling import count, flag, number, text
from diagnostics.rules.verl_defaults import ACTOR, DEFAULTS, FSDP, MEGATRON, MODEL, REF, ROLLOUT
from diagnostics.trainers.profile import Strategy

GROUPED = {
    "grpo",
    "grpo_passk",
    "grpo_vectorized",
    "gdpo",
    "rloo",
    "rloo_vectorized",
    "reinforce_plus_plus_baseline",
    "opo",
    "gpg",
}
BY_STD = {"grpo", "grpo_vectorized", "gdpo"}
STRATEGIES: dict[str, Strategy] = {"fsdp": "fsdp", "fsdp2": "fsdp", "megatron": "megatron"}
KL = {"kl": "k1", "k1": "k1", "mse": "k2", "k2": "k2", "low_var_kl": "k3", "k3": "k3"}

_FIELDS = {
    "model": f"{MODEL}.path",
    "ranks_per_node": "trainer.n_gpus_per_node",
    "nodes": "trainer.nnodes",
    "prompts": "data.train_batch_size",
    "samples": f"{ROLLOUT}.n",
    "epochs": f"{ACTOR}.ppo_epochs",
    "prompt_len": "data.max_prompt_length",
    "response_len": "data.max_response_length",
    "model_len": f"{ROLLOUT}.max_model_len",
    "engine": f"{ROLLOUT}.name",
    "engine_tp": f"{ROLLOUT}.tensor_model_parallel_size",
    "engine_share": f"{ROLLOUT}.gpu_memory_utilization",
    "engine_sleeps": f"{ROLLOUT}.free_cache_engine",
    "colocated": "actor_rollout_ref.hybrid_engine",
    "sp": f"{ACTOR}.ulysses_sequence_parallel_size",
    "checkpointing": f"{MODEL}.enable_gradient_checkpointing",
    "packs": f"{MODEL}.use_remove_padding",
    "lora_alpha": f"{MODEL}.lora_alpha",
    "estimator": "algorithm.adv_estimator",
    "temperature": f"{ROLLOUT}.temperature",
    "top_p": f"{ROLLOUT}.top_p",
    "lr": f"{ACTOR}.optim.lr",
    "episodes": "trainer.total_epochs",
}


def job_of_verl(foreign: Foreign) -> Job:
    """The job; what rests on a value that is not known stays out."""
    fields = read_fields(foreign, {field: From(name, DEFAULTS.get(name)) for field, name in _FIELDS.items()})
    job = Job(framework="verl", ranks=foreign.ranks, **fields)
    names = dict(job.names) | {
        "update": f"{ACTOR}.ppo_mini_batch_size",
        "micro": f"{ACTOR}.ppo_micro_batch_size_per_gpu",
        "micro_forward": f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu",
        "token_budget": f"{ACTOR}.ppo_max_token_len_per_gpu",
        "ranks": "trainer.n_gpus_per_node × trainer.nnodes",
        "kl_loss": f"{ACTOR}.kl_loss_coef",
        "kl_reward": "algorithm.kl_ctrl.kl_coef",
        "kl_estimator": f"{ACTOR}.kl_loss_type",
        "lora_rank": f"{MODEL}.lora_rank",
        "strategy": f"{ACTOR}.strategy",
        "train_tp": f"{MEGATRON}.tensor_model_parallel_size",
        "train_pp": f"{MEGATRON}.pipeline_model_parallel_size",
        "train_ep": f"{MEGATRON}.expert_model_parallel_size",
        "clip_low": f"{ACTOR}.clip_ratio_low",
        "clip_high": f"{ACTOR}.clip_ratio_high",
        "offload": f"{FSDP}.optimizer_offload",
    }
    return msgspec.structs.replace(
        job, names=names, **_batches(foreign, job), **_training(foreign), **_algorithm(foreign)
    )


def data_parallel(foreign: Foreign, job: Job) -> int | None:
    """Groups of ranks with responses of their own; None where the ranks are not a whole number of groups."""
    width = (
        job.sp * job.train_tp * job.train_pp * (count(foreign, f"{MEGATRON}.context_parallel_size", 1) or 1)
    )
    return job.ranks // width if job.ranks and job.ranks % width == 0 else None


def is_dynamic(foreign: Foreign) -> bool:
    """Micro-batches are cut by tokens."""
    return flag(foreign, f"{ACTOR}.use_dynamic_bsz")


def _batches(foreign: Foreign, job: Job) -> dict[str, int | None]:
    mini = count(foreign, f"{ACTOR}.ppo_mini_batch_size", 256)
    budget = count(foreign, f"{ACTOR}.ppo_max_token_len_per_gpu", 16384)
    budgets = [count(foreign, f"{part}.log_prob_max_token_len_per_gpu", budget) for part in (ROLLOUT, REF)]
    dynamic = is_dynamic(foreign)
    known = [each for each in budgets if each]
    return {
        "update": mini * job.samples if mini and job.samples else None,
        "micro": None if dynamic else _per_gpu(foreign, job, f"{ACTOR}.ppo_micro_batch_size"),
        "micro_forward": None if dynamic else _forward(foreign, job),
        "token_budget": budget if dynamic else None,
        "forward_token_budget": max(known, default=None) if dynamic else None,
    }


def _forward(foreign: Foreign, job: Job) -> int | None:
    sizes = [_per_gpu(foreign, job, f"{part}.log_prob_micro_batch_size") for part in (ROLLOUT, REF)]
    return max((size for size in sizes if size), default=None)


def _per_gpu(foreign: Foreign, job: Job, name: str) -> int | None:
    """The per-GPU field, else the deprecated one over all GPUs."""
    each = count(foreign, f"{name}_per_gpu")
    if each is not None:
        return each
    total = count(foreign, name)
    return total * job.sp // job.ranks if total and job.ranks else None


def _training(foreign: Foreign) -> dict[str, object]:
    named = text(foreign, f"{ACTOR}.strategy", "fsdp")
    strategy = STRATEGIES.get(named)
    parts: dict[str, int] = {}
    if strategy == "megatron":
        sizes = {"train_tp": "tensor", "train_pp": "pipeline", "train_ep": "expert"}
        parts = {
            field: count(foreign, f"{MEGATRON}.{kind}_model_parallel_size", 1) or 1
            for field, kind in sizes.items()
        }
    shards = count(foreign, f"{FSDP}.fsdp_size", -1)
    away = MEGATRON if strategy == "megatron" else FSDP
    offload: set[OffloadWhere] = set()
    if flag(foreign, f"{away}.param_offload"):
        offload.add("params")
    if flag(foreign, f"{away}.optimizer_offload"):
        offload.add("optimizer")
    in_update = flag(foreign, f"{FSDP}.offload_policy") and named == "fsdp2"
    if in_update:
        offload |= {"params", "optimizer"}
    if flag(foreign, f"{MODEL}.enable_activation_offload"):
        offload.add("activations")
    return {
        "strategy": strategy,
        "stage": {"fsdp": 3, "megatron": 1}.get(strategy or ""),
        "shard_ranks": shards if strategy == "fsdp" and shards and shards > 0 else None,
        "offload": frozenset(offload),
        "offload_in_update": in_update,
        "head": "fused" if flag(foreign, f"{MODEL}.use_fused_kernels") else None,
        **parts,
    }


def _algorithm(foreign: Foreign) -> dict[str, object]:
    estimator = text(foreign, "algorithm.adv_estimator", "gae").lower()
    in_loss, in_reward = flag(foreign, f"{ACTOR}.use_kl_loss"), flag(foreign, "algorithm.use_kl_in_reward")
    clip = number(foreign, f"{ACTOR}.clip_ratio", 0.2)
    rank = count(foreign, f"{MODEL}.lora_rank", 0)
    rewarded = flag(foreign, "reward_model.enable")
    return {
        "group": estimator in GROUPED,
        "by_std": estimator in BY_STD and flag(foreign, "algorithm.norm_adv_by_std_in_grpo", True),
        "critic": estimator == "gae"
        if foreign.get("critic.enable") is None
        else flag(foreign, "critic.enable"),
        "reward_model": text(foreign, "reward_model.model.path") or None if rewarded else None,
        "kl_loss": number(foreign, f"{ACTOR}.kl_loss_coef", 0.001) or 0 if in_loss else 0,
        "kl_reward": number(foreign, "algorithm.kl_ctrl.kl_coef", 0.001) or 0 if in_reward else 0,
        "kl_estimator": KL.get(text(foreign, f"{ACTOR}.kl_loss_type", "low_var_kl").removesuffix("+")),
        "clip_low": number(foreign, f"{ACTOR}.clip_ratio_low", clip),
        "clip_high": number(foreign, f"{ACTOR}.clip_ratio_high", clip),
        "lora_rank": rank or None,
    }
