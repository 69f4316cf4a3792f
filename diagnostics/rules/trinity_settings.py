"""Trinity-RFT's validators of synchronizer, buffer, trainer and adapters, and what they change silently."""

import math
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_trinity import TASKSET
from diagnostics.rules.read_trinity import VERL_FILE
from diagnostics.rules.telling import Rule, count, drop, flag, number, text, told, use
from engine.findings import Finding, Fix

N, SYNC = "algorithm.repeat_times", "synchronizer.sync_method"


def _synchronizer(foreign: Foreign, job: Job) -> Iterator[Finding]:
    mode, method = text(foreign, "mode", "both"), text(foreign, SYNC, "nccl").lower()
    interval, evaluated = (
        count(foreign, "synchronizer.sync_interval", 1),
        count(foreign, "explorer.eval_interval", 100),
    )
    if interval is not None and interval <= 0:
        name = "synchronizer.sync_interval"
        cause = f"{name} = {interval} must be positive."
        yield told(foreign, "check.trinity.sync-interval", "error", name, cause, use(foreign, name, 1))
        interval = None
    if method == "nccl" and (job.lora_rank or mode in ("train", "explore", "bench", "serve")):
        default = "" if SYNC in foreign.settings else ", the default,"
        why = "LoRA" if job.lora_rank else f"mode = {mode}"
        cause = f"{SYNC} = nccl{default} does not go with {why}: Trinity takes checkpoint instead."
        yield told(
            foreign, "check.trinity.sync-method", "warning", SYNC, cause, use(foreign, SYNC, "checkpoint")
        )
    if method == "nccl" and mode == "colocate":
        cause = f"in mode colocate Trinity changes {SYNC} from nccl to memory."
        yield told(foreign, "check.trinity.sync-method", "warning", SYNC, cause, use(foreign, SYNC, "memory"))
    if interval and evaluated and evaluated % interval and mode != "bench":
        name, rounded = "explorer.eval_interval", max(evaluated // interval, 1) * interval
        default = "" if name in foreign.settings else ", the default,"
        cause = (
            f"{name} = {evaluated}{default} is no multiple of synchronizer.sync_interval = {interval}: "
            f"Trinity evaluates every {rounded} steps."
        )
        yield told(
            foreign, "check.trinity.eval-interval", "warning", name, cause, use(foreign, name, rounded)
        )
    ratio, style = (
        number(foreign, "explorer.over_rollout.ratio", 0.0),
        text(foreign, "synchronizer.sync_style", "fixed"),
    )
    if ratio and not 0 <= ratio < 1:
        name = "explorer.over_rollout.ratio"
        yield told(
            foreign, "check.trinity.over-rollout", "error", name, f"{name} = {ratio:g} must be in [0, 1)."
        )
    elif ratio and style.lower() == "fixed":
        yield told(
            foreign,
            "check.trinity.over-rollout",
            "error",
            "explorer.over_rollout.ratio",
            "over-rollout does not go with synchronizer.sync_style = fixed.",
            use(foreign, "synchronizer.sync_style", "dynamic_by_explorer"),
            also=("synchronizer.sync_style",),
        )


def _buffer(foreign: Foreign, job: Job) -> Iterator[Finding]:
    mode = text(foreign, "mode", "both")
    single = [key for key in foreign.settings if key.startswith(f"{TASKSET}.")]
    several = foreign.get("buffer.explorer_input.tasksets")
    if mode in ("both", "explore"):
        if single and several:
            cause = "both taskset and tasksets are given: Trinity takes one of them."
            yield told(foreign, "check.trinity.tasksets", "error", "buffer.explorer_input.tasksets", cause)
        elif not single and not several:
            yield told(
                foreign,
                "check.trinity.no-taskset",
                "error",
                TASKSET,
                f"there is nothing to explore: {TASKSET} is not given.",
                Fix("give it a path", command=f"{TASKSET}.path: DATA"),
            )
        elif single and not foreign.get(f"{TASKSET}.path"):
            cause = f"{TASKSET}.path is not given."
            yield told(foreign, "check.trinity.no-path", "error", f"{TASKSET}.path", cause)
    own = count(foreign, f"{TASKSET}.repeat_times")
    if own is not None and own != job.samples:
        name = f"{TASKSET}.repeat_times"
        cause = f"{name} = {own} has no effect: Trinity sets it to algorithm.repeat_times = {job.samples}."
        yield told(
            foreign, "check.no-effect", "warning", name, cause, use(foreign, N, own), drop(foreign, name)
        )
    if (
        text(foreign, "buffer.trainer_input.experience_buffer.storage_type").lower() == "file"
        and mode == "both"
    ):
        name = "buffer.trainer_input.experience_buffer.storage_type"
        cause = f"{name} = file does not work in mode both: Trinity takes queue."
        yield told(foreign, "check.trinity.storage", "warning", name, cause, use(foreign, name, "queue"))


def _trainer(foreign: Foreign, job: Job) -> Iterator[Finding]:
    kind = text(foreign, "trainer.trainer_type", "verl")
    if kind not in ("verl", "tinker"):
        cause = f"trainer.trainer_type = {kind}: it is verl or tinker."
        yield told(foreign, "check.trinity.trainer-type", "error", "trainer.trainer_type", cause)
    saved = text(foreign, "trainer.save_hf_checkpoint", "last")
    if saved not in ("last", "always", "never"):
        name = "trainer.save_hf_checkpoint"
        cause = f"{name} = {saved}: it is last, always or never."
        yield told(foreign, "check.trinity.save-hf", "error", name, cause, use(foreign, name, "last"))
    inside = any(key.startswith("trainer.trainer_config.") and s.line for key, s in foreign.settings.items())
    if foreign.get(VERL_FILE) and not inside:
        cause = f"{VERL_FILE} is deprecated: newer versions stop at it."
        yield told(
            foreign,
            "check.trinity.config-path",
            "error",
            VERL_FILE,
            cause,
            Fix("move its settings to trainer.trainer_config"),
        )
    if job.sp < 1:
        name = job.name("sp")
        yield told(foreign, "check.trinity.sp", "warning", name, f"{name} = {job.sp}: Trinity sets it to 1.")
    if flag(foreign, "trainer.use_dynamic_bsz", True) and job.token_budget and job.model_len:
        budget = job.token_budget * max(1, job.sp)
        if budget < job.model_len:
            yield told(
                foreign,
                "cfg.batch.trinity-token-budget",
                "error",
                job.name("token_budget"),
                f"{job.name('token_budget')} × sequence parallelism = {budget} tokens do not hold one "
                f"sequence of max_model_len = {job.model_len}: verl asserts this at the first long response.",
                use(foreign, job.name("token_budget"), math.ceil(2 * job.model_len / max(1, job.sp))),
            )


def _adapters(foreign: Foreign, job: Job) -> Iterator[Finding]:
    adapters = foreign.get("model.lora_configs")
    if isinstance(adapters, list) and len(adapters) > 1:
        cause = f"{len(adapters)} adapters in model.lora_configs: Trinity supports one."
        yield told(foreign, "check.trinity.lora", "error", "model.lora_configs", cause)


def _memory_validator(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if text(foreign, "mode", "both") in ("train", "both"):
        yield told(
            foreign,
            "check.trinity.memory-validator",
            "info",
            "ignore_validator_suggestions",
            "Trinity's own memory check never stops a job without a terminal, knows neither rollout nor "
            "host memory, and is skipped with verl 0.8 and later.",
        )


RULES: tuple[Rule, ...] = (_synchronizer, _buffer, _trainer, _adapters, _memory_validator)
