"""LightRFT's options that are accepted and do nothing, or do nothing in this combination."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_lightrft import default
from diagnostics.rules.telling import Rule, drop, flag, number, text, told
from engine.findings import Finding, Severity

NEVER: dict[str, str] = {
    "rm_engine_cudagraph": "it is handed to the example's reward-model loader, which is a stub",
    "log_dir": "no code reads it; length plots go to --use_tensorboard",
    "loss_agg_mode": "the loss is always seq-mean-token-mean, whatever is given",
    "use_gspo": "no code reads it, and the loss stays that of PPO, per token",
    "normalize_advantages": "no code reads it, and it is on by default",
    "use_sequence_rewards": "no code reads it, and it is on by default",
    "first_token_temperature": "its value is never handed on",
    "no_shard_vit": "it is swallowed by **kwargs",
    "chunk_size": "no chunked log-probabilities are in the code",
    "disable_logprobs_flashattn": "it is swallowed by **kwargs",
    "load_in_4bit": "it is swallowed by **kwargs, and weights are loaded in full precision",
    "remote_rm_url": "the strategy reads it, but never gives it to the trainer, so no remote reward is asked",
    "rm_use_engine": "it is handed to the example's reward-model loader, which is a stub",
    "high_entropy_token_ratio": "entropy is computed, but the filter is never applied",
    "fused_linear_logprob": "no fused kernel is in the code; it only keeps lm_head from being sharded",
}
"""Options without effect, and why."""


class Needs(NamedTuple):
    """An option that does something only under a condition."""

    name: str
    met: Callable[[Foreign, Job], bool]
    why: str
    severity: Severity = "warning"


def _fsdp(foreign: Foreign, job: Job) -> bool:
    return flag(foreign, "fsdp")


def _deepspeed(foreign: Foreign, job: Job) -> bool:
    return not flag(foreign, "fsdp")


def _critic(foreign: Foreign, job: Job) -> bool:
    return job.estimator in (None, "gae")


def _wandb(foreign: Foreign, job: Job) -> bool:
    return bool(text(foreign, "use_wandb"))


def _given(name: str) -> Callable[[Foreign, Job], bool]:
    return lambda foreign, job: bool(foreign.get(name))


_FSDP_ONLY = "it is for FSDP, and --fsdp is not given"
_DEEPSPEED_ONLY = "it is for DeepSpeed, and --fsdp is given"
_CRITIC_ONLY = "there is no critic with this --advantage_estimator, only with gae"
_WANDB_ONLY = "W&B is off: --use_wandb is not given"

SOMETIMES: tuple[Needs, ...] = (
    Needs("zero_stage", _deepspeed, "--fsdp is given, which shards everything as stage 3 would", "info"),
    Needs("zpg", _deepspeed, _DEEPSPEED_ONLY),
    Needs("overlap_comm", _deepspeed, _DEEPSPEED_ONLY),
    Needs("grad_accum_dtype", _deepspeed, _DEEPSPEED_ONLY),
    Needs("save_hf_ckpt", _deepspeed, f"{_DEEPSPEED_ONLY}: convert checkpoints with fsdp2hf"),
    Needs("max_ckpt_mem", _deepspeed, f"{_DEEPSPEED_ONLY}: --max_ckpt_num limits the number"),
    Needs("fsdp_cpu_offload", _fsdp, _FSDP_ONLY),
    Needs("use_mp_opt", _fsdp, _FSDP_ONLY),
    Needs("mixed_mm_data", _fsdp, _FSDP_ONLY),
    Needs("initial_model_shard_size", _fsdp, _FSDP_ONLY),
    Needs("critic_pretrain", _critic, _CRITIC_ONLY),
    Needs("critic_learning_rate", _critic, _CRITIC_ONLY),
    Needs("value_clip", _critic, _CRITIC_ONLY),
    Needs("lambd", _critic, _CRITIC_ONLY),
    Needs("save_value_network", _critic, _CRITIC_ONLY),
    Needs("freezing_actor_steps", _critic, _CRITIC_ONLY),
    Needs("normalize_reward_for_critic", _critic, _CRITIC_ONLY),
    Needs("plot_every", _given("use_tensorboard"), "length plots are drawn only with --use_tensorboard"),
    Needs("overlong_buffer_len", _given("overlong_buffer"), "--overlong_buffer is not given"),
    Needs("overlong_buffer_penalty_factor", _given("overlong_buffer"), "--overlong_buffer is not given"),
    Needs(
        "reward_running_norm_minus_mean", _given("reward_running_norm"), "--reward_running_norm is not given"
    ),
    Needs("num_trajectories_to_save", _given("save_trajectories"), "--save_trajectories is not given"),
    Needs("mark_high_entropy_tokens", _given("save_trajectories"), "--save_trajectories is not given"),
    Needs("ptx_coef", _given("pretrain_data"), "--pretrain_data is not given"),
    Needs("lora_alpha", _given("lora_rank"), "--lora_rank is not given"),
    Needs("lora_dropout", _given("lora_rank"), "--lora_rank is not given"),
    Needs("target_modules", _given("lora_rank"), "--lora_rank is not given"),
    Needs("wandb_project", _wandb, _WANDB_ONLY, "info"),
    Needs("wandb_run_name", _wandb, _WANDB_ONLY, "info"),
    Needs("wandb_org", _wandb, _WANDB_ONLY, "info"),
    Needs("wandb_group", _wandb, _WANDB_ONLY, "info"),
    Needs("limit_mm_image_per_prompt", lambda f, j: not flag(f, "text_only"), "--text_only is given"),
    Needs("images_key", lambda f, j: not flag(f, "text_only"), "--text_only is given", "info"),
    Needs(
        "advantages_norm",
        lambda f, j: j.estimator not in ("group_norm", "cpgd"),
        "group_norm and cpgd ignore it",
    ),
    Needs("use_tensorboard", lambda f, j: not _wandb(f, j), "W&B is on, and only one of the two logs"),
    Needs(
        "mark_high_entropy_tokens",
        lambda f, j: (number(f, "high_entropy_token_ratio") or 0) > 0 or not f.get("save_trajectories"),
        "it needs --high_entropy_token_ratio above 0",
    ),
    Needs(
        "save_trajectories",
        lambda f, j: (number(f, "save_steps", -1) or 0) > 0,
        "trajectories are saved every --save_steps rollouts, and by default that is never",
    ),
    Needs(
        "kl_target",
        lambda f, j: (number(f, "init_kl_coef", default(f, "init_kl_coef")) or 0) > 0,
        "init_kl_coef = 0, which the adaptive controller only multiplies",
    ),
)


def _never(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name, why in NEVER.items():
        value = foreign.get(name)
        if value and (value != default(foreign, name) or value is True):
            shown = f"--{name}" if value is True else f"--{name} {value}"
            yield told(
                foreign,
                f"check.lightrft.no-effect.{name}",
                "info" if name == "rm_use_engine" else "warning",
                name,
                f"{shown} has no effect: {why}.",
                drop(foreign, name),
            )


def _sometimes(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for needs in SOMETIMES:
        if needs.name in foreign.settings and foreign.get(needs.name) and not needs.met(foreign, job):
            yield told(
                foreign,
                f"check.lightrft.no-effect.{needs.name}",
                needs.severity,
                needs.name,
                f"--{needs.name} has no effect here: {needs.why}.",
                drop(foreign, needs.name),
            )


RULES: tuple[Rule, ...] = (_never, _sometimes)
