"""TRL's settings besides batches: what its trainer refuses or warns of, traps, and what has no effect."""

import difflib
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import Rule, drop, flag, given, number, text, told, use
from diagnostics.rules.trl_names import GONE, LAUNCH_NAMES, NAMES
from engine.findings import Finding, Fix

LOSSES = (
    "grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo",
)  # fmt: skip
SUMMED = ("bnpo", "dr_grpo", "dapo", "cispo")
"""Losses that sum over tokens, in which a sequence's importance weight counts by its length."""


def _reference(foreign: Foreign, job: Job) -> Iterator[Finding]:
    beta = number(foreign, "beta", 0.0)
    sync = "sync_ref_model"
    if flag(foreign, sync) and beta == 0:
        yield told(
            foreign,
            "check.trl.sync-without-reference",
            "error",
            sync,
            "sync_ref_model with beta = 0: there is no reference model to synchronise, and TRL refuses it.",
            use(foreign, sync, False),
            use(foreign, "beta", 0.001),
            also=("beta",),
        )
    elif flag(foreign, sync) and job.lora_rank:
        yield told(
            foreign,
            "check.trl.sync-peft",
            "error",
            sync,
            "sync_ref_model with LoRA: the reference is the base without adapters, so that TRL cannot "
            "update it.",
            use(foreign, sync, False),
            also=("use_peft",),
        )
    unused = given(foreign, "ref_model_mixup_alpha", "ref_model_sync_steps")
    if unused and not flag(foreign, sync):
        cause = f"without effect, for sync_ref_model is off: {', '.join(unused)}."
        yield told(foreign, "check.no-effect", "warning", unused[0], cause, use(foreign, sync, True))
    if beta == 0:
        default = "" if "beta" in foreign.settings else " (TRL's default)"
        yield told(
            foreign,
            "check.trl.no-reference",
            "info",
            "beta",
            f"beta = 0{default}: no reference model is loaded, nothing holds the policy near it, and no kl "
            "is logged.",
        )


def _losses(foreign: Foreign, job: Job) -> Iterator[Finding]:
    loss, level = text(foreign, "loss_type", "dapo"), text(foreign, "importance_sampling_level", "token")
    if loss not in LOSSES and "$" not in loss:
        near = difflib.get_close_matches(loss, LOSSES, 1)
        cause = f"loss_type = {loss} is none of {', '.join(LOSSES)}."
        yield told(
            foreign,
            "check.trl.loss",
            "error",
            "loss_type",
            cause,
            *(use(foreign, "loss_type", n) for n in near),
        )
    if level == "sequence" and loss in SUMMED:
        yield told(
            foreign,
            "check.trl.sequence-level",
            "warning",
            "importance_sampling_level",
            f"importance weights of whole sequences with loss_type = {loss}, which sums over tokens: long "
            "responses count more. GSPO takes loss_type grpo.",
            use(foreign, "loss_type", "grpo"),
            also=("loss_type",),
        )
    if loss == "luspo" and level != "sequence":
        cause = "loss_type = luspo is meant for importance weights of whole sequences."
        fix = use(foreign, "importance_sampling_level", "sequence")
        yield told(foreign, "check.trl.luspo", "warning", "loss_type", cause, fix)
    mode = text(foreign, "vllm_importance_sampling_mode", "sequence_mask")
    if loss == "vespo" and level != "token":
        cause = "loss_type = vespo weighs sequences by itself: importance_sampling_level should stay token."
        fix = use(foreign, "importance_sampling_level", "token")
        yield told(foreign, "check.trl.vespo", "warning", "loss_type", cause, fix)
    corrects = flag(foreign, "use_vllm") and flag(foreign, "vllm_importance_sampling_correction", True)
    if loss == "vespo" and corrects and mode not in ("token_truncate", "token_mask"):
        cause = (
            f"loss_type = vespo needs vllm_importance_sampling_mode token_truncate or token_mask, not {mode}."
        )
        fix = use(foreign, "vllm_importance_sampling_mode", "token_truncate")
        yield told(foreign, "check.trl.vespo", "error", "loss_type", cause, fix)


def _importance_sampling(foreign: Foreign, job: Job) -> Iterator[Finding]:
    low, high = "vllm_importance_sampling_clip_min", "vllm_importance_sampling_clip_max"
    least = number(foreign, low)
    most = number(foreign, high, None if foreign.settings.get(high) else 3.0)
    if least is not None and most is not None and least >= most:
        cause = f"{low} = {least:g} must be less than {high} = {most:g}."
        yield told(foreign, "check.trl.clip-order", "error", low, cause, drop(foreign, low), also=(high,))
    mode = text(foreign, "vllm_importance_sampling_mode", "sequence_mask")
    if mode.endswith("_truncate") and least is None and most is None:
        cause = f"vllm_importance_sampling_mode = {mode} truncates at {high} or {low}, and neither is set."
        yield told(
            foreign,
            "check.trl.truncate-limits",
            "error",
            "vllm_importance_sampling_mode",
            cause,
            use(foreign, high, 3.0),
        )


def _vllm(foreign: Foreign, job: Job) -> Iterator[Finding]:
    uses, mode = flag(foreign, "use_vllm"), text(foreign, "vllm_mode", "colocate")
    given_vllm = [name for name in foreign.settings if name.startswith("vllm_") and name not in GONE]
    if not uses:
        if given_vllm:
            cause = f"without effect, for use_vllm is off: {', '.join(given_vllm)}."
            yield told(
                foreign, "check.no-effect", "warning", given_vllm[0], cause, use(foreign, "use_vllm", True)
            )
        return
    if mode not in ("server", "colocate"):
        cause = f"vllm_mode = {mode}: it is server or colocate."
        yield told(
            foreign, "check.trl.vllm-mode", "error", "vllm_mode", cause, use(foreign, "vllm_mode", "colocate")
        )
        return
    idle = (
        (
            "vllm_server_host",
            "vllm_server_port",
            "vllm_server_base_url",
            "vllm_server_timeout",
            "vllm_group_port",
        )
        if mode == "colocate"
        else (
            "vllm_gpu_memory_utilization",
            "vllm_tensor_parallel_size",
            "vllm_max_model_length",
            "vllm_enable_sleep_mode",
            "vllm_model_impl",
        )
    )
    if unused := given(foreign, *idle):
        fix = (
            Fix("give them to `trl vllm-serve`, which starts the server")
            if mode == "server"
            else Fix("leave them out")
        )
        default = "" if "vllm_mode" in foreign.settings else ", the default"
        cause = f"without effect with vllm_mode = {mode}{default}: {', '.join(unused)}."
        yield told(foreign, "check.no-effect", "warning", unused[0], cause, fix, also=("vllm_mode",))
    if (
        mode == "server"
        and "vllm_server_host" not in foreign.settings
        and not foreign.get("vllm_server_base_url")
    ):
        yield told(
            foreign,
            "check.trl.server-cards",
            "info",
            "vllm_mode",
            "the server is looked for at 0.0.0.0:8000: start it first, on cards that the trainer does not "
            "use (CUDA_VISIBLE_DEVICES of both), or NCCL refuses the shared device.",
            Fix("start the server", command="CUDA_VISIBLE_DEVICES=4,5,6,7 trl vllm-serve --model MODEL"),
        )
    if mode == "colocate" and flag(foreign, "load_in_8bit"):
        yield told(
            foreign,
            "check.trl.vllm-8bit",
            "error",
            "load_in_8bit",
            "a colocated vLLM cannot follow a model in 8 bits.",
            Fix("load it in 4 bits (load_in_4bit) or 16"),
        )
    longest = job.model_len
    if mode == "colocate" and longest and job.response_len and longest <= job.response_len:
        yield told(
            foreign,
            "cfg.len",
            "error",
            "vllm_max_model_length",
            f"vllm_max_model_length = {longest} leaves no token for a prompt beside max_completion_length = "
            f"{job.response_len}.",
            use(foreign, "vllm_max_model_length", 2 * job.response_len),
            also=("max_completion_length",),
        )


def _processes(foreign: Foreign, job: Job) -> Iterator[Finding]:
    launched = bool(foreign.ranks) or foreign.program.startswith("trl")
    script = foreign.program.endswith(".py") and foreign.path.endswith((".sh", ".bash"))
    if script and not launched:
        yield told(
            foreign,
            "check.trl.no-launcher",
            "warning",
            "program",
            f"{foreign.program} is started by python alone: with several GPUs visible, TRL refuses the "
            "DataParallel that transformers would use.",
            Fix("start it with accelerate", command=f"accelerate launch {foreign.program}"),
            Fix("or make one GPU visible", command="CUDA_VISIBLE_DEVICES=0"),
        )


def _other(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if foreign.get("log_completions_hub_repo") and not flag(foreign, "log_completions"):
        cause = "log_completions_hub_repo needs log_completions: TRL refuses one without the other."
        yield told(
            foreign,
            "check.trl.hub-completions",
            "error",
            "log_completions_hub_repo",
            cause,
            use(foreign, "log_completions", True),
        )
    adaptive = given(foreign, "entropy_target", "entropy_coef_min", "entropy_coef_max", "entropy_coef_delta")
    if adaptive and not flag(foreign, "use_adaptive_entropy"):
        cause = f"without effect, for use_adaptive_entropy is off: {', '.join(adaptive)}."
        fix = use(foreign, "use_adaptive_entropy", True)
        yield told(foreign, "check.no-effect", "warning", adaptive[0], cause, fix)
    if flag(foreign, "use_liger_kernel"):
        cause = "use_liger_kernel is deprecated: TRL takes Hub kernels instead."
        fix = Fix('set model_init_kwargs to {"use_kernels": true}')
        yield told(foreign, "check.trl.liger", "info", "use_liger_kernel", cause, fix)
    for old, new in (
        ("vllm_importance_sampling_cap", "vllm_importance_sampling_clip_max"),
        ("use_transformers_paged", "use_transformers_continuous_batching"),
    ):
        if old in foreign.settings:
            yield told(foreign, "check.trl.deprecated", "info", old, f"{old} is deprecated: it is {new} now.")
    rewarded = foreign.get("reward_funcs") or foreign.get("reward_model_name_or_path")
    if foreign.program == "trl grpo" and not rewarded:
        cause = "there is no reward: neither reward_funcs nor reward_model_name_or_path is given."
        fix = use(foreign, "reward_funcs", "accuracy_reward")
        yield told(foreign, "check.trl.no-reward", "error", "reward_funcs", cause, fix)


def _names(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name, setting in foreign.settings.items():
        bare = name.partition(".")[0]
        if name in GONE:
            yield told(
                foreign,
                "check.trl.gone",
                "warning",
                name,
                f"{name} is not in TRL any more ({GONE[name]}): newer versions stop at it.",
                drop(foreign, name),
            )
        elif bare not in NAMES and bare not in (*LAUNCH_NAMES, "accelerate", "trainer") and setting.line:
            yield from _unknown(foreign, name)


def _unknown(foreign: Foreign, name: str) -> Iterator[Finding]:
    near = [each for each in difflib.get_close_matches(name, NAMES, 2, cutoff=0.8) if each != name]
    fixes = tuple(Fix(f"did you mean {each}?") for each in near)
    if foreign.program == "trl grpo" or foreign.path.endswith(".py"):
        yield told(
            foreign,
            "check.trl.unknown-name",
            "error",
            name,
            f"neither GRPOConfig nor `trl grpo` has {name}: the start stops at it.",
            *fixes,
        )
    elif near:
        yield told(
            foreign,
            "check.trl.unknown-name",
            "warning",
            name,
            f"{name} is no setting of TRL's: only a script that defines it itself takes it.",
            *fixes,
        )


RULES: tuple[Rule, ...] = (
    _reference,
    _losses,
    _importance_sampling,
    _vllm,
    _processes,
    _other,
    _names,
)
