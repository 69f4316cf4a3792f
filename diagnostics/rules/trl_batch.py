"""TRL's batch arithmetic: what `GRPOConfig.__post_init__` raises, with the values that would pass."""

import math
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_trl import generation_batch, global_batch
from diagnostics.rules.telling import Rule, count, divisors, drop, flag, near, number, text, told, use
from engine.findings import Finding, Fix

EACH, GENERATED, STEPS = "per_device_train_batch_size", "generation_batch_size", "steps_per_generation"
ACCUMULATED, N, EVAL_EACH = "gradient_accumulation_steps", "num_generations", "per_device_eval_batch_size"
COMPLETIONS = "TRL's batch sizes count completions, not prompts"


def _generation_batch(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if foreign.get(GENERATED) is not None and foreign.get(STEPS) is not None:
        yield told(
            foreign,
            "cfg.batch.trl-both",
            "error",
            GENERATED,
            f"{GENERATED} and {STEPS} are both given: TRL takes one and derives the other.",
            drop(foreign, STEPS),
            drop(foreign, GENERATED),
            also=(STEPS,),
        )
        return
    given, batch = count(foreign, GENERATED), global_batch(foreign)
    if given and batch and given % batch:
        yield told(
            foreign,
            "cfg.batch.trl-global",
            "error",
            GENERATED,
            f"{GENERATED} = {given} does not divide by {EACH} × processes = {batch // (job.ranks or 1)} × "
            f"{job.ranks} = {batch}.",
            *(use(foreign, GENERATED, size) for size in near(given, batch)),
            also=(EACH,),
            evidence=(COMPLETIONS,),
        )


def _groups(foreign: Foreign, job: Job) -> Iterator[Finding]:
    n = job.samples
    if n is None:
        return
    if n < 2:
        yield told(
            foreign,
            "cfg.batch.trl-generations",
            "error",
            N,
            f"{N} = {n}: GRPO requires at least 2 generations per prompt, for a group of one has no "
            "baseline.",
            use(foreign, N, 8),
        )
        return
    generated = generation_batch(foreign)
    if generated is None or generated % n == 0:
        return
    batch, each = global_batch(foreign), count(foreign, EACH, 8)
    accumulated = count(foreign, ACCUMULATED, 1)
    fixes = []
    if batch and foreign.get(GENERATED) is None:
        more = n // math.gcd(batch, n)
        steps = -(-(accumulated or 1) // more) * more
        fixes.append(use(foreign, ACCUMULATED if foreign.get(STEPS) is None else STEPS, steps))
        if each and job.ranks:
            step = n // math.gcd(generated // each, n)
            larger = -(-each // step) * step
            fixes.append(use(foreign, EACH, larger))
    elif foreign.get(GENERATED) is not None:
        fixes += [use(foreign, GENERATED, size) for size in near(generated, n)]
    closest = sorted(divisors(generated)[1:], key=lambda d: abs(d - n))[:2]
    yield told(
        foreign,
        "cfg.batch.trl-groups",
        "error",
        N,
        f"a rollout has {_rollout_words(foreign, job, generated)}, which does not hold whole groups of {N} "
        f"= {n}.",
        *(use(foreign, N, d) for d in sorted(closest)),
        *fixes,
        also=(EACH, ACCUMULATED, STEPS, GENERATED),
        evidence=(COMPLETIONS,),
    )


def _rollout_words(foreign: Foreign, job: Job, generated: int) -> str:
    if foreign.get(GENERATED) is not None:
        return f"{GENERATED} = {generated} completions"
    steps = count(foreign, STEPS) or count(foreign, ACCUMULATED, 1)
    which = STEPS if foreign.get(STEPS) is not None else ACCUMULATED
    each = count(foreign, EACH, 8)
    return f"{EACH} × processes × {which} = {each} × {job.ranks} × {steps} = {generated} completions"


def _evaluation(foreign: Foreign, job: Job) -> Iterator[Finding]:
    strategy = text(foreign, "eval_strategy", text(foreign, "evaluation_strategy", "no")).lower()
    n = count(foreign, "num_generations_eval") or job.samples
    each = count(foreign, EVAL_EACH, 8)
    if strategy in ("no", "false", "") or not n or not each or not job.ranks or each * job.ranks % n == 0:
        return
    quantum = n // math.gcd(job.ranks, n)
    default = "" if EVAL_EACH in foreign.settings else ", the default,"
    yield told(
        foreign,
        "cfg.batch.trl-eval",
        "error",
        EVAL_EACH,
        f"the evaluation batch, {EVAL_EACH}{default} × processes = {each} × {job.ranks} = "
        f"{each * job.ranks}, does not hold whole groups of {n}.",
        *(use(foreign, EVAL_EACH, size) for size in near(each, quantum)),
        also=("eval_strategy", N, "num_generations_eval"),
    )


def _unsupported(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if flag(foreign, "auto_find_batch_size"):
        yield told(
            foreign,
            "cfg.batch.trl-auto",
            "error",
            "auto_find_batch_size",
            "auto_find_batch_size halves the batch when memory runs out, which would break groups apart: "
            "GRPO refuses it.",
            use(foreign, "auto_find_batch_size", False),
            Fix(f"and lower {EACH}"),
        )
    for name in ("cp_size", "sp_size"):
        setting = f"accelerate.parallelism_config.parallelism_config_{name}"
        size = count(foreign, setting)
        if size and size > 1:
            yield told(
                foreign,
                "cfg.batch.trl-sequence-parallel",
                "error",
                setting,
                f"{setting} = {size}: GRPOTrainer refuses context and sequence parallelism.",
                use(foreign, setting, 1),
            )


def _rollout_reuse(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """What `steps_per_generation` and `num_iterations` make of one rollout."""
    steps, accumulated = count(foreign, STEPS), count(foreign, ACCUMULATED, 1)
    if steps and accumulated and steps % accumulated:
        yield told(
            foreign,
            "cfg.batch.trl-steps",
            "warning",
            STEPS,
            f"{STEPS} = {steps} is no multiple of {ACCUMULATED} = {accumulated}: optimizer steps mix "
            "completions of two rollouts.",
            *(use(foreign, STEPS, size) for size in near(steps, accumulated)),
            also=(ACCUMULATED,),
        )


def _processes(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if job.ranks is None:
        yield told(
            foreign,
            "check.trl.processes-unknown",
            "info",
            EACH,
            "the number of processes is not in this file: whether batches hold whole groups cannot be "
            "checked.",
            Fix("check the launch script that starts it, with accelerate's --num_processes or --config_file"),
        )


def _reward_weights(foreign: Foreign, job: Job) -> Iterator[Finding]:
    weights, functions = foreign.get("reward_weights"), foreign.get("reward_funcs")
    if isinstance(weights, list) and isinstance(functions, list | str):
        rewards = len(functions) if isinstance(functions, list) else 1
        rewards += foreign.get("reward_model_name_or_path") is not None
        if len(weights) != rewards:
            yield told(
                foreign,
                "check.trl.reward-weights",
                "error",
                "reward_weights",
                f"{len(weights)} reward_weights for {rewards} rewards: TRL wants one for each.",
                also=("reward_funcs", "reward_model_name_or_path"),
            )


def _steps(foreign: Foreign, job: Job) -> Iterator[Finding]:
    low, high = number(foreign, "epsilon", 0.2), number(foreign, "epsilon_high")
    if low and high is not None and high < low:
        cause = f"epsilon_high = {high:g} is below epsilon = {low:g}: the upper side is usually wider (DAPO)."
        yield told(
            foreign, "check.trl.epsilon", "warning", "epsilon_high", cause, use(foreign, "epsilon_high", 0.28)
        )


RULES: tuple[Rule, ...] = (
    _generation_batch,
    _groups,
    _evaluation,
    _unsupported,
    _rollout_reuse,
    _processes,
    _reward_weights,
    _steps,
)
