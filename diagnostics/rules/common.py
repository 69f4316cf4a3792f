"""Rules that hold whatever the trainer: groups, parallel sizes, lengths, learning rate, KL.

Each yields findings of one job; `shape` is None where the model is not known.
"""

from collections.abc import Iterator

from diagnostics.rules import parallel
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import MOST, Job
from diagnostics.rules.parallel import CommonRule
from diagnostics.rules.telling import in_order, told, use
from engine.findings import Finding, Fix
from engine.footprint.shape import ModelShape

HIGHEST_LR, HIGHEST_LORA_LR, LOWEST_LORA_LR = 1e-5, 1e-3, 5e-6
"""Beyond these, fine-tuning with rewards is seen to collapse, or under LoRA hardly to move."""
COUNTED = (
    "prompts",
    "samples",
    "epochs",
    "micro",
    "micro_forward",
    "token_budget",
    "prompt_len",
    "response_len",
    "engine_tp",
    "sp",
    "train_tp",
    "train_pp",
    "train_ep",
)
"""Fields that must be whole numbers of at least 1 wherever they are given."""
MANY_UPDATES = 16
"""Optimizer steps per rollout up to which recipes are known to train well (DAPO takes 16)."""


def common_findings(foreign: Foreign, job: Job, shape: ModelShape | None) -> list[Finding]:
    """What is wrong in any framework, errors first."""
    return in_order([finding for rule in RULES for finding in rule(foreign, job, shape)])


def _numbers(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    for field in COUNTED:
        name = job.names.get(field, "")
        setting = foreign.settings.get(name)
        value = None if setting is None or isinstance(setting.value, bool) else setting.value
        if not isinstance(value, int | float) or (1 <= value <= MOST and value == int(value)):
            continue
        cause = (
            f"{name} = {value:g} is no number that a job can have: it must be a whole number of at least 1."
        )
        yield told(foreign, "cfg.number", "error", name, cause)


def _group(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    if not job.group or job.samples != 1 or job.framework == "trl":  # TRL refuses it itself
        return
    name = job.name("samples")
    zero = "0 / 0: NaN, or 0 with a small constant in the divisor" if job.by_std else "0"
    yield told(
        foreign,
        "cfg.group",
        "error",
        name,
        f"{name} is 1, but {job.estimator} compares a response with the others of its prompt: with one "
        f"alone every advantage is {zero}, and nothing is learned.",
        use(foreign, name, 8, "a usual group"),
        also=(job.name("estimator"),),
    )


def _lengths(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    if job.response_len is None:
        return
    total = (job.prompt_len or 0) + job.response_len
    words = f"{job.prompt_len} + {job.response_len} = {total}" if job.prompt_len else f"{job.response_len}"
    response = job.name("response_len")
    if job.model_len and total > job.model_len:
        yield told(
            foreign,
            "cfg.len",
            "error",
            response,
            f"prompt and response take up to {words} tokens, more than the engine's {job.name('model_len')} "
            f"= {job.model_len}.",
            use(foreign, job.name("model_len"), total),
            *((use(foreign, response, job.model_len - (job.prompt_len or 0)),) if _room(job) else ()),
            also=(job.name("prompt_len"), job.name("model_len")),
        )
    longest = max(total, job.model_len or 0)
    if shape and shape.context and longest > shape.context:
        serious = job.engine != "hf"
        room = shape.context - (job.prompt_len or 0)
        yield told(
            foreign,
            "cfg.len-context",
            "error" if serious else "warning",
            response if total > shape.context else job.name("model_len"),
            f"sequences of up to {longest} tokens are longer than the {shape.context} positions that "
            f"{shape.name} was made for{': the engine refuses to start' if serious else ''}.",
            *((use(foreign, response, room),) if room > 0 and total > shape.context else ()),
            Fix(
                "or use a model with a longer context, or rope scaling in the model's configuration to "
                f"{longest}"
            ),
            also=(job.name("prompt_len"), job.name("model_len")),
        )


def _room(job: Job) -> bool:
    return job.model_len is not None and job.model_len > (job.prompt_len or 0)


def _learning_rate(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    if job.lr is None:
        return
    name, highest = job.name("lr"), HIGHEST_LORA_LR if job.lora_rank else HIGHEST_LR
    if job.lr < 0 or job.lr > highest:
        of = "LoRA adapters" if job.lora_rank else "all weights"
        yield told(
            foreign,
            "cfg.lr",
            "error" if job.lr < 0 else "warning",
            name,
            f"a learning rate of {job.lr:g} for {of} is "
            f"{'negative' if job.lr < 0 else f'above {highest:g}'}: policies trained with rewards collapse "
            "at such rates.",
            use(foreign, name, 1e-5 if job.lora_rank else 1e-6, "a usual value"),
        )
    elif job.lora_rank and 0 < job.lr < LOWEST_LORA_LR:
        yield told(
            foreign,
            "cfg.lr-lora",
            "info",
            name,
            f"a learning rate of {job.lr:g} is one for all weights: LoRA adapters usually take about ten "
            "times as much.",
            use(foreign, name, 1e-5),
        )


def _kl(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    for field in ("kl_loss", "kl_reward"):
        weight = getattr(job, field)
        if weight < 0:
            name = job.name(field)
            cause = (
                f"{name} = {weight:g} is negative: it rewards the policy for moving away from its reference."
            )
            yield told(foreign, "cfg.kl-negative", "error", name, cause, use(foreign, name, -weight))
    if job.kl_loss > 0 and job.kl_reward > 0:
        yield told(
            foreign,
            "cfg.kl-twice",
            "warning",
            job.name("kl_loss"),
            f"the KL to the reference counts twice: {job.kl_loss:g} in the loss and {job.kl_reward:g} off "
            "the reward.",
            Fix("keep the one in the loss (GRPO), or the one in the reward (PPO)"),
            also=(job.name("kl_reward"),),
        )
    if job.kl_loss > 0 and job.kl_estimator == "k1":
        yield told(
            foreign,
            "cfg.kl-k1-loss",
            "warning",
            job.name("kl_estimator"),
            "k1 as a loss has a gradient of zero expectation: it does not hold the policy near its "
            "reference.",
            Fix("use the low-variance estimator k3, or k2"),
        )


def _sampling(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    name = job.name("temperature")
    if job.temperature is not None and job.temperature < 0:
        cause = f"{name} = {job.temperature:g} is negative."
        yield told(foreign, "cfg.temperature", "error", name, cause, use(foreign, name, 1.0))
    elif job.temperature == 0 and (job.samples or 0) > 1:
        yield told(
            foreign,
            "cfg.temperature",
            "warning",
            name,
            f"with {name} = 0 the {job.samples} responses to a prompt are all the same: no advantage, "
            "nothing is learned.",
            use(foreign, name, 1.0),
            also=(job.name("samples"),),
        )
    if job.top_p is not None and not 0 < job.top_p <= 1:
        cause = f"{job.name('top_p')} = {job.top_p:g} is no share between 0 and 1."
        yield told(
            foreign, "cfg.top-p", "error", job.name("top_p"), cause, use(foreign, job.name("top_p"), 1.0)
        )


def _clip(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    for field in ("clip_low", "clip_high"):
        value, name = getattr(job, field), job.name(field)
        if value is not None and value <= 0 and name in foreign.settings:
            cause = f"{name} = {value:g}: a clip range of 0 or less leaves no room for the policy to move."
            yield told(foreign, "cfg.clip", "warning", name, cause, use(foreign, name, 0.2))


def _share(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    share, name = job.engine_share, job.name("engine_share")
    if share is None:
        return
    if not 0 < share <= 1:
        cause = f"{name} = {share:g} is no share between 0 and 1."
        yield told(foreign, "cfg.mem.engine-share", "error", name, cause, use(foreign, name, 0.5))
    elif job.colocated and job.engine_sleeps is False and share > 0.6:
        yield told(
            foreign,
            "cfg.mem.engine-share",
            "warning",
            name,
            f"the engine keeps {share:.0%} of every card while the model trains on it, for it never sleeps.",
            use(foreign, job.name("engine_sleeps"), True),
            use(foreign, name, 0.3),
            also=(job.name("engine_sleeps"),),
        )


def _off_policy(foreign: Foreign, job: Job, shape: ModelShape | None) -> Iterator[Finding]:
    if not job.responses or not job.update:
        return
    steps = job.responses * job.epochs / job.update
    if steps > MANY_UPDATES:
        yield told(
            foreign,
            "cfg.off-policy",
            "warning",
            job.name("update"),
            f"{job.responses} responses per rollout × {job.epochs} passes / {job.update} per step = "
            f"{steps:g} optimizer steps per rollout: all but the first train on responses of an older "
            "policy.",
            Fix("take more responses per step, or fewer prompts per rollout"),
            also=(job.name("prompts"), job.name("samples"), job.name("epochs")),
        )


RULES: tuple[CommonRule, ...] = (
    _numbers,
    _group,
    *parallel.RULES,
    _lengths,
    _learning_rate,
    _kl,
    _sampling,
    _clip,
    _share,
    _off_policy,
)
