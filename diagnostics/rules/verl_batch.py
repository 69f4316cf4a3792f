"""verl's batch arithmetic: what `validate_config` asserts, and what it leaves to fail on the workers.

With `use_dynamic_bsz` verl skips almost all of its own checks; the relations hold all the same.
"""

import math
from collections.abc import Iterator

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.job_verl import data_parallel, is_dynamic
from diagnostics.rules.telling import Rule, count, divisors, drop, flag, near, told, use
from diagnostics.rules.verl_defaults import ACTOR, REF, ROLLOUT
from engine.findings import Finding, Fix

TRAIN, N = "data.train_batch_size", f"{ROLLOUT}.n"
MINI, MICRO, EACH = (
    f"{ACTOR}.ppo_mini_batch_size",
    f"{ACTOR}.ppo_micro_batch_size",
    f"{ACTOR}.ppo_micro_batch_size_per_gpu",
)
BUDGET, DYNAMIC = f"{ACTOR}.ppo_max_token_len_per_gpu", f"{ACTOR}.use_dynamic_bsz"
SKIPPED = f"verl does not check this with {DYNAMIC}: it fails after the launch, in the middle of a step."


def _responses_divide(foreign: Foreign, job: Job) -> Iterator[Finding]:
    groups = data_parallel(foreign, job)
    if not groups or not job.ranks or job.responses is None or job.prompts is None or job.samples is None:
        return
    dynamic = is_dynamic(foreign)
    quantum, of = job.ranks, "GPUs"
    if job.strategy == "megatron":
        quantum = groups if dynamic else groups * (job.micro or 1)
        of = "data-parallel groups" + (" × ppo_micro_batch_size_per_gpu" if job.micro else "")
    elif dynamic:
        quantum, of = groups, "data-parallel groups"
    if job.responses % quantum == 0:
        return
    good = near(job.prompts, _least(quantum, job.samples))
    yield told(
        foreign,
        "cfg.batch.verl-indivisible",
        "error",
        TRAIN,
        f"{TRAIN} × rollout.n = {job.prompts} × {job.samples} = {job.responses} responses do not divide by "
        f"{quantum} {of}.",
        *(use(foreign, TRAIN, prompts) for prompts in good),
        also=(N, "trainer.n_gpus_per_node", "trainer.nnodes"),
        evidence=(SKIPPED,) if dynamic else (),
    )


def _mini_batch(foreign: Foreign, job: Job) -> Iterator[Finding]:
    mini = count(foreign, MINI, 256)
    if mini is None or job.prompts is None:
        return
    dynamic = is_dynamic(foreign)
    if mini <= 0:
        yield told(foreign, "cfg.batch.verl-mini", "error", MINI, f"{MINI} = {mini}: it must be at least 1.")
    elif mini > job.prompts:
        default = "" if MINI in foreign.settings else ", verl's default,"
        yield told(
            foreign,
            "cfg.batch.verl-mini",
            "error",
            MINI,
            f"{MINI} = {mini}{default} is more than {TRAIN} = {job.prompts}: a step would want more prompts "
            "than a rollout has.",
            use(foreign, MINI, job.prompts),
            use(foreign, TRAIN, mini),
            also=(TRAIN,),
            evidence=(SKIPPED,) if dynamic else (),
        )
    elif job.prompts % mini:
        yield told(
            foreign,
            "cfg.batch.verl-uneven",
            "warning",
            MINI,
            f"{TRAIN} = {job.prompts} is no multiple of {MINI} = {mini}: the last step of every rollout "
            f"takes only {job.prompts % mini} prompts, and newer versions stop with an assertion.",
            *(use(foreign, TRAIN, prompts) for prompts in near(job.prompts, mini)),
            also=(TRAIN,),
        )


def _mini_batch_per_gpu(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """verl divides the mini batch among the groups with `//`: what is left over is lost without a word."""
    mini, groups = count(foreign, MINI, 256), data_parallel(foreign, job)
    if not mini or mini <= 0 or not groups or not job.samples:
        return
    each, rest = divmod(mini * job.samples, groups)
    least = _least(groups, job.samples)
    if each == 0:
        yield told(
            foreign,
            "cfg.batch.verl-mini-zero",
            "error",
            MINI,
            f"{MINI} × n = {mini} × {job.samples} = {mini * job.samples} responses are fewer than the "
            f"{groups} data-parallel groups: a GPU gets 0 of them, and verl asserts that it is more.",
            use(foreign, MINI, least),
            also=(N,),
        )
        return
    if rest:
        yield told(
            foreign,
            "cfg.batch.verl-mini-per-gpu",
            "warning",
            MINI,
            f"{MINI} × n = {mini} × {job.samples} = {mini * job.samples} responses do not divide by {groups} "
            f"data-parallel groups: each takes {each}, so that a step has {each * groups}.",
            *(use(foreign, MINI, prompts) for prompts in near(mini, least)),
            also=(N,),
        )
    micro = job.micro
    if is_dynamic(foreign) or not micro or micro <= 0 or count(foreign, EACH) is None:
        return
    if each < micro:
        yield told(
            foreign,
            "cfg.batch.verl-no-accumulation",
            "error",
            EACH,
            f"a GPU's share of a mini batch is {each} responses, less than {EACH} = {micro}: gradient "
            "accumulation is 0, and loss and gradients are NaN from the first step, or a worker asserts.",
            use(foreign, EACH, each),
            also=(MINI, N),
        )
    elif each % micro:
        yield told(
            foreign,
            "cfg.batch.verl-micro",
            "error",
            EACH,
            f"a GPU's share of a mini batch, {mini} × {job.samples} / {groups} = {each} responses, does not "
            f"divide by {EACH} = {micro}: the worker asserts this after the launch.",
            use(foreign, EACH, max(d for d in divisors(each) if d <= micro)),
            *(use(foreign, EACH, d) for d in divisors(each) if micro < d <= 2 * micro),
            also=(MINI, N),
        )


def _micro_fields(foreign: Foreign, job: Job) -> Iterator[Finding]:
    """One of `x` and `x_per_gpu` must be given, and not both."""
    dynamic = is_dynamic(foreign)
    for owner, name, needed in _pairs(foreign, job):
        total, each = f"{owner}.{name}", f"{owner}.{name}_per_gpu"
        has_total, has_each = foreign.get(total) is not None, foreign.get(each) is not None
        if has_total and has_each:
            yield told(
                foreign,
                "cfg.batch.verl-both-micro",
                "warning" if dynamic else "error",
                total,
                f"both {total} and {each} are given: verl refuses that"
                + (" where it checks; with dynamic batches neither counts." if dynamic else "."),
                drop(foreign, total, "the deprecated one"),
                also=(each,),
            )
        elif not has_total and not has_each and needed and not dynamic:
            yield told(
                foreign,
                "cfg.batch.verl-no-micro",
                "error",
                each,
                f'neither {total} nor {each} is given: verl stops with "Please set at least one of" them.',
                use(foreign, each, 4),
                use(foreign, DYNAMIC, True, "micro-batches by tokens"),
            )
        elif has_total:
            yield from _deprecated_total(foreign, job, total, each)


def _pairs(foreign: Foreign, job: Job) -> Iterator[tuple[str, str, bool]]:
    yield ACTOR, "ppo_micro_batch_size", True
    yield ROLLOUT, "log_prob_micro_batch_size", not flag(foreign, f"{ROLLOUT}.log_prob_use_dynamic_bsz")
    yield (
        REF,
        "log_prob_micro_batch_size",
        job.reference and not flag(foreign, f"{REF}.log_prob_use_dynamic_bsz"),
    )
    yield "critic", "ppo_micro_batch_size", job.critic
    yield "reward_model", "micro_batch_size", job.reward_model is not None


def _deprecated_total(foreign: Foreign, job: Job, total: str, each: str) -> Iterator[Finding]:
    size, groups = count(foreign, total), data_parallel(foreign, job)
    if not size or size <= 0 or not groups:
        return
    mini = count(foreign, MINI, 256)
    if size < groups:
        yield told(
            foreign,
            "cfg.batch.verl-micro-zero",
            "error",
            total,
            f"{total} = {size} is a total over all GPUs: divided among {groups} data-parallel groups it is "
            "0, which verl either refuses or splits for ever.",
            use(foreign, each, max(1, size // groups)),
            use(foreign, total, groups),
        )
    elif total == MICRO and mini and mini % size and not is_dynamic(foreign):
        yield told(
            foreign,
            "cfg.batch.verl-micro",
            "error",
            total,
            f"{MINI} = {mini} does not divide by {total} = {size}.",
            *(use(foreign, total, d) for d in [d for d in divisors(mini) if groups <= d < size][-1:]),
            also=(MINI,),
        )
    elif not is_dynamic(foreign):
        yield told(
            foreign,
            "cfg.batch.verl-deprecated-micro",
            "info",
            total,
            f"{total} = {size} counts all GPUs and is deprecated: {size // groups} on each of {groups}.",
            use(foreign, each, size // groups),
        )


def _token_budgets(foreign: Foreign, job: Job) -> Iterator[Finding]:
    if not is_dynamic(foreign) or job.prompt_len is None or job.response_len is None:
        return
    longest, sp = job.prompt_len + job.response_len, max(1, job.sp)
    for owner, name in ((ACTOR, "ppo"), (ROLLOUT, "log_prob"), (REF, "log_prob")):
        setting = f"{owner}.{name}_max_token_len_per_gpu"
        budget = count(foreign, setting, count(foreign, BUDGET, 16384))
        given = foreign.settings.get(setting)
        inherited = owner != ACTOR and not (given and given.line)
        if budget is None or inherited or budget * sp >= longest or (owner == REF and not job.reference):
            continue
        times = f" × {sp} sequence-parallel ranks = {budget * sp}" if sp > 1 else ""
        yield told(
            foreign,
            "cfg.batch.verl-token-budget",
            "error",
            setting,
            f"{setting} = {budget}{times} tokens do not hold one sequence of {job.prompt_len} + "
            f"{job.response_len} = {longest}: verl asserts this at the first long response.",
            use(foreign, setting, -(-longest // sp), "one sequence"),
            use(foreign, setting, -(-2 * longest // sp), "two, as verl advises"),
            also=("data.max_prompt_length", "data.max_response_length"),
        )


def _without_effect(foreign: Foreign, job: Job) -> Iterator[Finding]:
    dynamic = is_dynamic(foreign)
    if dynamic and EACH in foreign.settings and foreign.get(EACH) is not None:
        cause = f"{EACH} has no effect with {DYNAMIC}: micro-batches are cut at {BUDGET} tokens."
        yield told(foreign, "check.no-effect", "info", EACH, cause, drop(foreign, EACH), also=(DYNAMIC,))
    if not dynamic and BUDGET in foreign.settings:
        cause = f"{BUDGET} has no effect without {DYNAMIC}."
        yield told(foreign, "check.no-effect", "warning", BUDGET, cause, use(foreign, DYNAMIC, True))
    if dynamic and BUDGET in foreign.settings:
        own = [f"{part}.log_prob_max_token_len_per_gpu" for part in (ROLLOUT, REF)]
        silent = [name for name in own if not (foreign.settings.get(name) and foreign.settings[name].line)]
        budget = count(foreign, BUDGET)
        if silent and budget and budget > 16384:
            yield told(
                foreign,
                "cfg.batch.verl-inherited-budget",
                "info",
                BUDGET,
                f"{' and '.join(silent)} follow{'s' if len(silent) == 1 else ''} {BUDGET} = {budget}: "
                "raising it raises the memory of the log-prob passes too.",
                Fix("set the log-prob limits by themselves"),
            )


def _least(quantum: int, samples: int) -> int:
    """The smallest number of prompts whose responses divide by `quantum`."""
    return quantum // math.gcd(quantum, samples)


RULES: tuple[Rule, ...] = (
    _responses_divide,
    _mini_batch,
    _mini_batch_per_gpu,
    _micro_fields,
    _token_budgets,
    _without_effect,
)
