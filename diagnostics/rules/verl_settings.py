"""verl's settings besides batches: combinations that stop a run, traps, and what has no effect."""

import difflib
import re
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import Rule, drop, flag, given, number, text, told, use
from diagnostics.rules.verl_defaults import ACTOR, DEFAULTS, FSDP, MODEL
from engine.findings import Finding, Fix

SP = f"{ACTOR}.ulysses_sequence_parallel_size"
LOSS_MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")
REMOVED = {
    f"{FSDP}.grad_offload": "gradients move with the parameters",
    f"{ACTOR}.use_token_level_loss": "loss_agg_mode=token-mean takes its place",
    "data.val_batch_size": "the validation set goes to the engine as a whole",
}


def _sequence_parallel(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.sp <= 1 or job.strategy == "megatron":
        return
    padding, fused = f"{MODEL}.use_remove_padding", f"{MODEL}.use_fused_kernels"
    if not flag(foreign, padding):
        yield told(
            foreign,
            "check.verl.sp-needs-remove-padding",
            "error",
            SP,
            f"{SP} = {job.sp} needs {padding}: verl refuses sequence parallelism with padded batches.",
            use(foreign, padding, True),
            also=(padding,),
        )
    if flag(foreign, fused):
        yield told(
            foreign,
            "check.verl.sp-fused",
            "warning",
            fused,
            f"fused kernels with sequence parallelism ({job.sp}) were reported to give wrong "
            "log-probabilities.",
            use(foreign, fused, False),
            Fix("or compare log-probabilities of a step with and without them first"),
            also=(SP,),
            evidence=("volcengine/verl#3723",),
        )


def _sequence_parallel_ignored(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.sp > 1 and re.search(r"qwen3\.5", job.model or "", re.IGNORECASE):
        yield told(
            foreign,
            "check.verl.sp-ignored",
            "warning",
            SP,
            "sequence parallelism was reported to be ignored for Qwen3.5: each rank then holds whole "
            f"sequences, and token limits count {job.sp} times.",
            Fix("look at a rank's activation memory in the first step, with and without it"),
            evidence=("volcengine/verl#7476",),
        )


def _fused(foreign: Foreign, job: Job) -> Iterator[Finding]:
    fused, liger = f"{MODEL}.use_fused_kernels", f"{MODEL}.use_liger"
    if flag(foreign, fused) and flag(foreign, liger):
        yield told(
            foreign,
            "check.verl.fused-liger",
            "warning",
            fused,
            "fused kernels and Liger both replace the output head: losses were reported to differ.",
            use(foreign, liger, False),
            use(foreign, fused, False),
            also=(liger,),
            evidence=("volcengine/verl#1720",),
        )


def _kl(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """Weights whose switch is off: many shipped scripts carry them along."""
    loss, reward = f"{ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward"
    for weight, switch in ((f"{ACTOR}.kl_loss_coef", loss), ("algorithm.kl_ctrl.kl_coef", reward)):
        value = number(foreign, weight)
        if weight in foreign.settings and not flag(foreign, switch) and value:
            cause = f"{weight} = {value:g} has no effect: {switch} is off."
            yield told(
                foreign,
                "check.no-effect",
                "info",
                weight,
                cause,
                use(foreign, switch, True),
                drop(foreign, weight),
            )
    if flag(foreign, loss) and number(foreign, f"{ACTOR}.kl_loss_coef", 0.001) == 0:
        yield told(
            foreign,
            "check.verl.kl-weight-zero",
            "warning",
            loss,
            f"{loss} is on with a weight of 0: the reference model is loaded and computed for nothing.",
            use(foreign, loss, False),
            also=(f"{ACTOR}.kl_loss_coef",),
        )


def _clip_ratio(foreign: Foreign, job: Job) -> Iterator[Finding]:
    clip, low, high = f"{ACTOR}.clip_ratio", f"{ACTOR}.clip_ratio_low", f"{ACTOR}.clip_ratio_high"
    value = number(foreign, clip)
    sides = [side for side in (low, high) if side not in foreign.settings]
    if value is not None and value != 0.2 and sides:
        yield told(
            foreign,
            "check.verl.clip-ratio",
            "warning",
            clip,
            f"{clip} = {value:g} has no effect where {' and '.join(sides)} have a value, and in versions "
            "since 2025 their default is 0.2.",
            *(use(foreign, side, value) for side in sides),
        )


def _estimator(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = "algorithm.adv_estimator"
    if name not in foreign.settings and (job.samples or 1) > 1:
        yield told(
            foreign,
            "check.verl.default-estimator",
            "warning",
            name,
            f"{name} is not given: its default is gae, which trains a critic "
            f"({DEFAULTS['critic.model.path']} unless critic.model.path is set), though {job.samples} "
            "responses are sampled per prompt as for GRPO.",
            use(foreign, name, "grpo"),
            also=(job.name("samples"),),
        )
    unused = [key for key in foreign.settings if key.startswith("critic.") and foreign.settings[key].line]
    if unused and not job.critic and "critic.enable" not in unused:
        cause = f"without effect, for {job.estimator} has no critic: {_some(unused)}."
        yield told(
            foreign, "check.no-effect", "info", unused[0], cause, Fix("leave the critic's settings out")
        )
    mode = text(foreign, f"{ACTOR}.loss_agg_mode", "token-mean")
    if mode not in LOSS_MODES and "$" not in mode:
        cause = f"{ACTOR}.loss_agg_mode = {mode} is none of {', '.join(LOSS_MODES)}."
        yield told(foreign, "check.verl.loss-mode", "error", f"{ACTOR}.loss_agg_mode", cause)


def _filter_groups(foreign: Foreign, job: Job) -> Iterator[Finding]:
    name = "algorithm.filter_groups.enable"
    if flag(foreign, name) and foreign.program.endswith("verl.trainer.main_ppo"):
        yield told(
            foreign,
            "check.no-effect",
            "warning",
            name,
            f"{name} has no effect with verl.trainer.main_ppo: only the DAPO recipe's trainer resamples "
            "groups.",
            Fix("start recipe.dapo.main_dapo"),
            drop(foreign, name),
        )


def _offload(foreign: Foreign, job: Job) -> Iterator[Finding]:
    policy, strategy = f"{FSDP}.offload_policy", text(foreign, f"{ACTOR}.strategy", "fsdp")
    if flag(foreign, policy) and strategy != "fsdp2":
        yield told(
            foreign,
            "check.no-effect",
            "warning",
            policy,
            f"{policy} has no effect with {ACTOR}.strategy = {strategy}: only fsdp2 offloads during the "
            "update.",
            use(foreign, f"{ACTOR}.strategy", "fsdp2"),
        )


def _removed(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name in given(foreign, *REMOVED):
        yield told(
            foreign,
            "check.verl.removed",
            "warning",
            name,
            f'{name} is not in verl any more ({REMOVED[name]}): without effect, or "Key is not in struct" '
            "at the "
            "start.",
            drop(foreign, name),
        )


def _misspelt(foreign: Foreign, job: Job) -> Iterator[Finding]:
    for name, setting in foreign.settings.items():
        if name in DEFAULTS or not setting.line or name in REMOVED:
            continue
        head, _, last = name.rpartition(".")
        siblings = {key.rpartition(".")[2]: key for key in DEFAULTS if key.rpartition(".")[0] == head}
        close = difflib.get_close_matches(
            last, [key for key in siblings if key not in last], n=1, cutoff=0.86
        )
        if close and not _is_known_variant(last):
            yield told(
                foreign,
                "check.verl.misspelt",
                "warning",
                name,
                f"{name} is not a setting of verl's that is known here, but {siblings[close[0]]} is: Hydra "
                "stops at an unknown name.",
                Fix(f"did you mean {siblings[close[0]]}?"),
            )


def _is_known_variant(last: str) -> bool:
    """Names of other versions that are as they are meant."""
    return last.endswith(
        ("_per_gpu", "_workers", "_files", "_key", "_micro_batch_size", "_dynamic_bsz")
    ) or last in (
        "min_lr_ratio",
        "top_n",
        "lr_scheduler_type",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"


RULES: tuple[Rule, ...] = (
    _sequence_parallel,
    _sequence_parallel_ignored,
    _fused,
    _kl,
    _clip_ratio,
    _estimator,
    _filter_groups,
    _offload,
    _removed,
    _misspelt,
)
