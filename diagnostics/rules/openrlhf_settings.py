"""OpenRLHF's settings besides batches: what its asserts refuse, what it turns off, what has no effect."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_openrlhf import is_on
from diagnostics.rules.openrlhf_flags import REPLACED
from diagnostics.rules.read_openrlhf import is_dotted, own
from diagnostics.rules.secrets import HIDDEN
from diagnostics.rules.telling import Rule, count, drop, text, told, use
from engine.findings import Finding, Fix


def _engines(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name, packing = own(foreign, "vllm_num_engines"), own(foreign, "packing_samples")
    engines = count(foreign, name)
    if not engines and name not in foreign.settings and is_on(foreign, "packing_samples"):
        cause = f"{packing} needs vLLM, and {name} is not given: the launch stops at a comparison with None."
        fix = use(foreign, name, job.ranks or 1)
        yield told(foreign, "check.openrlhf.packing-without-vllm", "error", packing, cause, fix)
    elif engines == 0 and is_on(foreign, "packing_samples"):
        cause = f"{packing} with {name} = 0: 'Only support `--packing_samples` with vLLM.'"
        fix = use(foreign, name, job.ranks or 1)
        yield told(foreign, "check.openrlhf.packing-without-vllm", "error", packing, cause, fix)


def _sleep(foreign: Foreign, job: Job) -> Iterator[Finding]:
    vllm, deepspeed, every, later = (
        own(foreign, name)
        for name in ("vllm_enable_sleep", "deepspeed_enable_sleep", "colocate_all_models", "async_train")
    )
    together = is_on(foreign, "colocate_all_models")
    if is_on(foreign, "vllm_enable_sleep") and not together:
        cause = f"--{vllm} has no effect without --{every}: it is set to False."
        yield told(
            foreign, "check.openrlhf.no-effect.vllm-sleep", "warning", vllm, cause, drop(foreign, vllm)
        )
    elif is_on(foreign, "vllm_enable_sleep") and is_on(foreign, "async_train"):
        cause = "'Async RLHF is not supported with --vllm_enable_sleep.'"
        yield told(
            foreign, "check.openrlhf.async-sleep", "error", vllm, cause, drop(foreign, vllm), also=(later,)
        )
    if is_on(foreign, "deepspeed_enable_sleep"):
        if not together:
            cause = (
                f"--{deepspeed} is made for --{every}: models that have their own GPUs need not leave them."
            )
            yield told(
                foreign,
                "check.openrlhf.deepspeed-sleep-alone",
                "warning",
                deepspeed,
                cause,
                drop(foreign, deepspeed),
            )
        offload = own(foreign, "adam_offload")
        if is_on(foreign, "adam_offload"):
            cause = f"--{deepspeed} has no effect with --{offload}: the states are on the host already."
            yield told(
                foreign,
                "check.openrlhf.no-effect.deepspeed-sleep",
                "warning",
                deepspeed,
                cause,
                drop(foreign, offload, "which is slower"),
                also=(offload,),
            )
        elif job.stage is not None and job.stage < 3:
            stage = job.name("stage")
            cause = (
                f"--{deepspeed} with {stage} = {job.stage}: DeepSpeed up to 0.17.5 stops with 'Only Zero "
                "stage 3 is currently supported'."
            )
            yield told(
                foreign,
                "check.openrlhf.sleep-stage",
                "warning",
                deepspeed,
                cause,
                use(foreign, stage, 3),
                also=(stage,),
            )
    if job.colocated and not (
        is_on(foreign, "vllm_enable_sleep") and is_on(foreign, "deepspeed_enable_sleep")
    ):
        missing = [name for name in (vllm, deepspeed) if not foreign.get(name)]
        if not (missing == [deepspeed] and is_on(foreign, "adam_offload")):
            cause = (
                f"--{every} without {' and '.join(f'--{name}' for name in missing)}: the engine and the "
                "models hold their memory on the same GPUs at the same time."
            )
            fixes = [use(foreign, name, True) for name in missing]
            yield told(foreign, "check.openrlhf.no-sleep", "warning", every, cause, *fixes)


def _rewards(foreign: Foreign, job: Job) -> Iterator[Finding]:
    remote, local, agent = (
        own(foreign, name) for name in ("remote_rm_url", "reward_pretrain", "agent_func_path")
    )
    scored = foreign.get(remote) or foreign.get(agent)
    if foreign.get(remote) and foreign.get(local):
        cause = f"--{local} has no effect: with --{remote} no reward model is loaded."
        yield told(
            foreign, "check.openrlhf.no-effect.reward-model", "warning", local, cause, drop(foreign, local)
        )
    if not scored and not foreign.get(local) and local not in foreign.settings:
        serious = (
            "the launch stops at None.split"
            if job.critic and not _critic_given(foreign)
            else "nothing scores"
        )
        cause = f"there is no reward: neither --{local} nor --{remote} nor --{agent} is given, and {serious}."
        yield told(
            foreign, "check.openrlhf.no-reward", "error", local, cause, Fix(f"give --{remote} or --{local}")
        )
    evaluation = own(foreign, "eval_dataset")
    if foreign.get(evaluation) and not scored:
        cause = f"'`--eval_dataset` is only supported with `--remote_rm_url`.' --{remote} is not given."
        yield told(foreign, "check.openrlhf.eval", "error", evaluation, cause, drop(foreign, evaluation))


def _critic_given(foreign: Foreign) -> bool:
    return bool(foreign.get(own(foreign, "critic_pretrain")))


def _kl(foreign: Foreign, job: Job) -> Iterator[Finding]:
    loss, coefficient = own(foreign, "use_kl_loss"), own(foreign, "init_kl_coef")
    if is_on(foreign, "use_kl_loss") and job.kl_loss == 0:
        cause = f"--{loss} has no effect with {coefficient} = 0: no reference model is loaded."
        yield told(
            foreign, "check.openrlhf.kl-zero", "warning", loss, cause, use(foreign, coefficient, 0.001)
        )
    if not is_on(foreign, "use_kl_loss") and job.kl_reward > 0 and job.kl_estimator in ("k2", "k3"):
        name = job.name("kl_estimator")
        cause = (
            f"the KL is taken off the reward, for which k1 is unbiased; {job.kl_estimator} is for a KL loss."
        )
        fixes = (use(foreign, name, "k1"), use(foreign, loss, True))
        yield told(foreign, "check.openrlhf.kl-estimator", "info", name, cause, *fixes)
    target, horizon = own(foreign, "kl_target"), own(foreign, "kl_horizon")
    for name in (target, horizon):
        value = count(foreign, name)
        if value == 0:
            cause = f"{name} = 0 divides by zero in the adaptive KL controller."
            yield told(foreign, "check.openrlhf.kl-controller", "error", name, cause, drop(foreign, name))


class Needs(NamedTuple):
    """An option that does something only under a condition."""

    name: str
    met: Callable[[Foreign, Job], bool]
    why: str


def _with_critic(foreign: Foreign, job: Job) -> bool:
    return job.critic or job.estimator is None


_CRITIC = "there is no critic with this estimator, only with gae"
NEEDS: tuple[Needs, ...] = (
    Needs("critic_pretrain", _with_critic, _CRITIC),
    Needs("critic_learning_rate", _with_critic, _CRITIC),
    Needs("value_clip", _with_critic, _CRITIC),
    Needs("lambd", _with_critic, _CRITIC),
    Needs("save_value_network", _with_critic, _CRITIC),
    Needs("freezing_actor_steps", _with_critic, _CRITIC),
    Needs("colocate_critic_reward", _with_critic, _CRITIC),
    Needs(
        "eps_clip",
        lambda f, j: own(f, "eps_clip_low_high") not in f.settings,
        "the low and high clip range take its place",
    ),
    Needs(
        "overlong_penalty_factor",
        lambda f, j: bool(f.get(own(f, "overlong_buffer_len"))),
        "no overlong buffer is given",
    ),
    Needs(
        "micro_train_batch_size",
        lambda f, j: not is_on(f, "use_dynamic_batch"),
        "micro-batches are cut by tokens",
    ),
    Needs("train_max_tokens_per_gpu", lambda f, j: is_on(f, "use_dynamic_batch"), "dynamic batches are off"),
    Needs(
        "rollout_max_tokens_per_gpu", lambda f, j: is_on(f, "use_dynamic_batch"), "dynamic batches are off"
    ),
    Needs(
        "dynamic_filtering_reward_range",
        lambda f, j: is_on(f, "dynamic_filtering"),
        "dynamic filtering is off",
    ),
    Needs("async_queue_size", lambda f, j: is_on(f, "async_train"), "training is not asynchronous"),
    Needs("lora_alpha", lambda f, j: j.lora_rank is not None, "no LoRA rank is given"),
    Needs("lora_dropout", lambda f, j: j.lora_rank is not None, "no LoRA rank is given"),
    Needs("target_modules", lambda f, j: j.lora_rank is not None, "no LoRA rank is given"),
    Needs(
        "vllm_is_truncated_threshold",
        lambda f, j: is_on(f, "enable_vllm_is_correction"),
        "importance sampling correction is off",
    ),
    Needs("ring_head_stride", lambda f, j: j.sp > 1, "ring attention is off"),
)


def _without_effect(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for needs in NEEDS:
        name = own(foreign, needs.name)
        if name in foreign.settings and foreign.get(name) and not needs.met(foreign, job):
            yield told(
                foreign,
                f"check.openrlhf.no-effect.{needs.name}",
                "warning" if needs.name == "critic_pretrain" else "info",
                name,
                f"--{name} has no effect here: {needs.why}.",
                drop(foreign, name),
            )


def _versions(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name, now in REPLACED.items():
        if name in foreign.settings:
            cause = f"--{name} is refused by releases since late 2025: it is {now} there."
            yield told(
                foreign,
                "check.openrlhf.old-option",
                "info",
                name,
                cause,
                Fix(f"with a newer release, write {now}"),
            )
    if foreign.program.endswith("train_ppo"):
        cause = "openrlhf.cli.train_ppo, without Ray, is gone from newer releases."
        yield Finding(
            "check.openrlhf.old-program", "info", cause, fixes=(Fix("use openrlhf.cli.train_ppo_ray"),)
        )


def _precision(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if is_dotted(foreign) or "param_dtype" in foreign.settings or "attn_implementation" in foreign.settings:
        return
    if "bf16" not in foreign.settings and "flash_attn" in foreign.settings:
        cause = "--bf16 is not given, and --flash_attn is an option of the releases that then train in fp16."
        yield told(foreign, "check.openrlhf.no-bf16", "warning", "bf16", cause, use(foreign, "bf16", True))
    if job.train_tp > 1 and job.bf16 is False:
        name = job.name("train_tp")
        cause = "'BF16 is required for tensor parallel training'."
        yield told(foreign, "check.openrlhf.tp-bf16", "error", name, cause, use(foreign, "bf16", True))


def _estimator(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = own(foreign, "advantage_estimator")
    if name not in foreign.settings:
        cause = (
            f"--{name} is not given, and is gae by default: PPO with a critic, which is a model of its own."
        )
        yield told(
            foreign,
            "check.openrlhf.default-gae",
            "info",
            name,
            cause,
            use(foreign, name, "group_norm", "for GRPO"),
        )


def _key(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = own(foreign, "use_wandb")
    value = text(foreign, name)
    if value == HIDDEN or value.startswith("$"):
        yield told(
            foreign,
            "check.openrlhf.key-on-command-line",
            "warning",
            name,
            f"--{name} takes the W&B key itself: on the command line everybody on the machine can read it, "
            "and it is logged with the arguments.",
            Fix(f"export WANDB_API_KEY outside of the script, and give --{name} true"),
        )


RULES: tuple[Rule, ...] = (
    _engines,
    _sleep,
    _rewards,
    _kl,
    _without_effect,
    _versions,
    _precision,
    _estimator,
    _key,
)
