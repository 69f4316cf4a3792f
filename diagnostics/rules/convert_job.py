"""What a job in common terms is in our parameters; the same for every framework."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from engine.config.registry import parameters
from engine.config.sections import RolloutSection


class Item(NamedTuple):
    """One value of ours: `section.key`, and the setting that it comes from; `remark` says what differs."""

    key: str
    value: Any
    setting: str = ""
    remark: str = ""


class Left(NamedTuple):
    """A setting without equivalent, or one that is only nearly the same, and why."""

    setting: str
    reason: str


ESTIMATORS = {
    "grpo": "group_norm",
    "group_norm": "group_norm",
    "grpo_vectorized": "group_norm",
    "rloo": "rloo",
    "rloo_vectorized": "rloo",
    "dr_grpo": "dr_grpo",
    "gspo": "gspo",
    "gae": "gae",
    "ppo": "gae",
    "reinforce": "reinforce",
    "reinforce_baseline": "reinforce_baseline",
    "reinforce_plus_plus": "reinforce",
    "cpgd": "cpgd",
}
SAME = 1e-9


def items_of(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    """The values that a job gives, its framework's defaults included where ours are others."""
    yield from _model(job)
    yield from _batches(job)
    yield from _rollout(job)
    yield from _algorithm(job)
    yield from _optimizer(job)
    yield from _parallel(job)
    yield from _memory(foreign, job)


def _plain(job: Job, field: str, key: str, remark: str = "") -> Iterator[Item]:
    value = getattr(job, field)
    if value is not None:
        yield Item(key, value, job.name(field), remark)


def _model(job: Job) -> Iterator[Item | Left]:
    if job.model and "$" not in job.model and not job.model.upper().startswith("/PATH/TO"):
        yield Item("model.pretrain", job.model, job.name("model"))
    if job.lora_rank:
        yield from _plain(job, "lora_rank", "model.lora_rank")
        if job.lora_alpha is not None:
            yield Item("model.lora_alpha", round(job.lora_alpha), job.name("lora_alpha"))
    if job.quantized:
        yield Left("load_in_4bit", "the trained model is never quantized here")
    if job.critic:
        yield Left(job.name("estimator"), "there is no critic in this version: group_norm (GRPO) needs none")
    if job.reward_model:
        yield Left(
            job.name("estimator"),
            f"reward models ({job.reward_model}) are not in this version: write a reward_fn",
        )


def _batches(job: Job) -> Iterator[Item | Left]:
    yield from _plain(job, "prompts", "batch.rollout_batch_size", "prompts per rollout")
    if job.prompts is None and job.samples is not None:
        yield Left(
            job.name("prompts"), "prompts per rollout are not known: rollout_batch_size stays at its default"
        )
    yield from _plain(job, "samples", "batch.n_samples_per_prompt")
    remark = "" if job.samples is None else f"responses per step: counted with {job.samples} for each prompt"
    yield from _plain(
        job, "update", "batch.train_batch_size", remark if job.framework in ("verl", "trinity") else ""
    )
    if job.token_budget:
        tokens = job.token_budget * job.sp
        yield Item("batch.max_tokens_per_micro_batch", tokens, job.name("token_budget"))
    elif job.micro:
        yield from _plain(job, "micro", "batch.micro_train_batch_size")
    if job.micro_forward:
        yield from _plain(job, "micro_forward", "batch.micro_rollout_batch_size")


def _rollout(job: Job) -> Iterator[Item | Left]:
    if job.engine:
        yield Item("rollout.engine_type", job.engine, job.name("engine"))
    if job.engine in ("vllm", "sglang"):
        if job.colocated is False:
            yield Left(
                job.name("engine_ranks" if job.engine_ranks else "engine"),
                "engines on cards of their own: here the engine shares the trainer's cards and sleeps in "
                "between",
            )
        else:
            yield from _plain(job, "engine_tp", "rollout.engine_tp_size")
            yield from _plain(job, "engine_share", "rollout.engine_mem_util")
            yield from _plain(job, "engine_sleeps", "rollout.enable_engine_sleep")
    yield from _lengths(job)
    if job.temperature:
        yield from _plain(job, "temperature", "rollout.temperature")
    yield from _plain(job, "top_p", "rollout.top_p")


def _lengths(job: Job) -> Iterator[Item]:
    """Prompt, response and both: a prompt's limit that is not given is what the response leaves."""
    prompt, response, longest = job.prompt_len, job.response_len, job.model_len
    yield from _plain(job, "response_len", "rollout.generate_max_len")
    if prompt:
        yield from _plain(job, "prompt_len", "rollout.prompt_max_len", "longer prompts are left out")
        total = prompt + (response or 0)
        if longest and longest >= total:
            yield Item("rollout.max_len", longest, job.name("model_len"))
        elif response:
            yield Item("rollout.max_len", total, job.name("response_len"), "prompt + response")
    elif response and longest and longest > response:
        yield Item("rollout.prompt_max_len", longest - response, job.name("model_len"), "less the response")
        yield Item("rollout.max_len", longest, job.name("model_len"))
    elif response:
        room = RolloutSection().prompt_max_len
        yield Item("rollout.max_len", room + response, job.name("response_len"), f"and {room} for prompts")


def _algorithm(job: Job) -> Iterator[Item | Left]:
    named = (job.estimator or "").lower()
    ours = ESTIMATORS.get(named)
    if ours == "group_norm" and job.by_std is False and job.framework in ("verl", "trl"):
        ours = "dr_grpo"
    refused = ours is not None and parameters()["algorithm.advantage_estimator"].refuses(ours)
    if ours and not refused:
        yield Item("algorithm.advantage_estimator", ours, job.name("estimator"))
    elif named and not job.critic:
        yield Left(job.name("estimator"), f"{named} is not in this version: group_norm, dr_grpo and rloo are")
    if job.kl_loss > 0:
        yield Item("algorithm.init_kl_coef", job.kl_loss, job.name("kl_loss"))
        if job.kl_estimator in ("k1", "k2", "k3"):
            yield Item("algorithm.kl_estimator", job.kl_estimator, job.name("kl_estimator"))
    elif job.kl_reward > 0:
        yield Item(
            "algorithm.init_kl_coef",
            job.kl_reward,
            job.name("kl_reward"),
            "in the loss here, not off the reward",
        )
    else:
        yield Item("algorithm.init_kl_coef", 0.0, job.name("kl_loss"), "no reference model")
    if job.kl_loss > 0 and job.kl_reward > 0:
        yield Left(job.name("kl_reward"), "the KL counts once here, in the loss")
    yield from _plain(job, "clip_low", "algorithm.clip_range")
    if job.clip_high is not None and job.clip_low is not None and abs(job.clip_high - job.clip_low) > SAME:
        yield from _plain(job, "clip_high", "algorithm.clip_range_higher")


def _optimizer(job: Job) -> Iterator[Item | Left]:
    yield from _plain(job, "lr", "optim.actor_learning_rate")
    if job.episodes:
        yield from _plain(job, "episodes", "optim.num_episodes")
    if job.epochs > 1:
        yield from _plain(job, "epochs", "optim.max_epochs")


def _parallel(job: Job) -> Iterator[Item | Left]:
    if job.nodes and job.nodes > 1:
        yield Left(job.name("nodes"), f"{job.nodes} machines: this version runs on one")
    each = job.ranks_per_node if job.nodes and job.nodes > 1 else job.ranks
    if each:
        yield Item(
            "parallel.nproc", each, job.name("ranks_per_node" if job.nodes and job.nodes > 1 else "ranks")
        )
    if job.strategy == "deepspeed":
        if job.stage:
            yield Item("parallel.zero_stage", job.stage, job.name("stage"))
        yield Item("parallel.fsdp", False, job.name("strategy"))
    elif job.strategy is not None:
        remark = (
            "" if job.strategy == "fsdp" else f"{job.strategy} has no equivalent: FSDP2 shards the states"
        )
        yield Item("parallel.fsdp", True, job.name("strategy"), remark)
    if job.shard_ranks:
        yield Item("parallel.fsdp_shard_size", job.shard_ranks, "fsdp_size")
    if job.sp > 1:
        yield from _plain(job, "sp", "parallel.sp_size")
    for field in ("train_tp", "train_pp", "train_ep"):
        if getattr(job, field) > 1:
            yield Left(
                job.name(field),
                "the trainer has no tensor, pipeline or expert parallelism: FSDP2 shards instead",
            )


def _memory(foreign: Foreign, job: Job) -> Iterator[Item | Left]:
    given = [name for name in ("fsdp_cpu_offload", "adam_offload") if name in foreign.settings]
    offload = given[0] if given else job.name("offload")
    yield from _plain(job, "checkpointing", "memory.gradient_checkpointing")
    if job.packs:
        yield Item("memory.packing_samples", True, job.name("packs"))
    if job.head == "fused":
        yield Item("memory.fused_linear_logprob", True, job.name("head"))
    elif job.head == "chunked":
        yield Item("memory.fused_linear_logprob", True, "", "TRL never holds all logits either")
    fsdp = job.strategy != "deepspeed"
    in_update = job.offload_in_update or (fsdp and job.framework in ("lightrft", "trl"))
    if fsdp and in_update and {"params", "optimizer"} <= job.offload:
        yield Item("memory.fsdp_cpu_offload", True, offload)
    elif job.offload & {"optimizer", "idle"}:
        yield Item("memory.adam_offload", True, offload)
    if "params" in job.offload and not (fsdp and in_update):
        params = offload.replace("optimizer_offload", "param_offload")
        yield Left(params, "parameters are not moved away between phases here, optimizer states are")
    if "activations" in job.offload:
        yield Left(offload, "activations are recomputed here, never offloaded")


def default_title(foreign: Foreign) -> str:
    """A title after the file's name."""
    return f"Converted from {Path(foreign.path).name}"
