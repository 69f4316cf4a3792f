"""Checks of the configuration by itself: the rules of the launch, by what they are about."""

from collections.abc import Callable

from diagnostics.doctor.check import Answer, Check, DoesNotApply, Ok
from diagnostics.doctor.checks.run_facts import TOY, config_of, model_config, ranks
from diagnostics.doctor.host import Host
from engine.config import rules
from engine.config.batch import batch_words, generate_max_len
from engine.config.choices import choice_words, strategy_name, zero_stage
from engine.config.sections import RunConfig
from engine.data.validate import check_source
from engine.findings import Finding, Fix

BATCH, GROUP, TP, SP, LENGTHS = "cfg.batch", "cfg.group", "cfg.tp", "cfg.sp", "cfg.len"
STRATEGY, FSDP, ZERO, SETTINGS = "cfg.opt", "cfg.fsdp", "cfg.zero", "cfg.settings"
FULL_RATE, ADAPTER_RATE = 1e-5, 1e-3
"""Learning rates above which reinforcement fine-tuning mostly collapses: of all weights, of adapters."""
NEARLY_GREEDY = 0.1
STAGE = "parallel.zero_stage"
_NOT_STAGE_3 = (
    Fix("use FSDP2: set fsdp to true and leave zero_stage out", set={"parallel.fsdp": True, STAGE: None}),
    Fix("or ZeRO 2, which keeps parameters whole", set={STAGE: 2}),
)

_GROUPS = (
    ("batch.token-budget", LENGTHS),
    ("batch.", BATCH),
    ("data.smaller-than-rollout", BATCH),
    ("data.no-optimizer-step", BATCH),
    ("algorithm.group-needs-samples", GROUP),
    ("parallel.tp-", TP),
    ("rollout.tp-", TP),
    ("parallel.sp-", SP),
    ("rollout.", LENGTHS),
    ("reward.overlong-buffer", LENGTHS),
    ("parallel.shard-size", FSDP),
    ("memory.mp-opt", FSDP),
    ("model.compile-with-zero", ZERO),
    ("parallel.zero-with-fsdp", STRATEGY),
    ("parallel.option-of-other-strategy", STRATEGY),
)
"""Beginnings of the ids of the launch's rules, and the check that shows them; all others are settings."""


def _group(id: str) -> str:
    return next((check for beginning, check in _GROUPS if id.startswith(beginning)), SETTINGS)


def _of_rules(check: str, said: Callable[[Host], str]) -> Callable[[Host], Answer]:
    """A check that shows the findings of the rules of one group, and else what is right."""

    def run(host: Host) -> Answer:
        size = _dataset_size(host) if check == BATCH else None
        found = rules.check(
            config_of(host), world_size=ranks(host), dataset_size=size, model_config=model_config(host)
        )
        return tuple(finding for finding in found if _group(finding.id) == check) or Ok(said(host))

    return run


def _dataset_size(host: Host) -> int | None:
    """Rows of the training data, where they are known without loading them."""
    data = config_of(host).data
    return check_source(data.prompt_data, data, "prompt_data")[1]


def _batch_words(host: Host) -> str:
    return batch_words(config_of(host), ranks(host))


def _group_words(host: Host) -> str:
    config = config_of(host)
    return f"{config.algorithm.advantage_estimator}, {config.batch.n_samples_per_prompt} responses per prompt"


def _parallel_words(name: str) -> Callable[[Host], str]:
    def said(host: Host) -> str:
        config = config_of(host)
        size = config.rollout.engine_tp_size if name == "engine_tp_size" else config.parallel.sp_size
        return f"{name} = {size} of {ranks(host)} ranks"

    return said


def _length_words(host: Host) -> str:
    config, model = config_of(host), model_config(host) or {}
    context = model.get("max_position_embeddings")
    words = f"{config.rollout.prompt_max_len} + {generate_max_len(config)} ≤ {config.rollout.max_len} tokens"
    return f"{words} ≤ {context} positions" if context else words


def _strategy_words(host: Host) -> str:
    return choice_words(config_of(host))


def _fsdp(host: Host) -> Answer:
    config = config_of(host)
    found = _of_rules(FSDP, lambda host: f"over {config.parallel.fsdp_shard_size or ranks(host)} ranks")(host)
    if isinstance(found, Ok) and strategy_name(config) != "fsdp2":
        raise DoesNotApply("the run uses DeepSpeed")
    return found


def _zero(host: Host) -> Answer:
    config, model = config_of(host), model_config(host) or {}
    found = _of_rules(ZERO, lambda host: f"stage {zero_stage(config)}")(host)
    if isinstance(found, tuple):
        return found
    if strategy_name(config) != "deepspeed":
        raise DoesNotApply("the run uses FSDP2")
    if zero_stage(config) < 3:
        return found
    name = config.model.pretrain
    findings = []
    if any(model.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
        cause = f"{name} has experts, and ZeRO 3 gathers modules as they run: where experts are modules of "
        cause += "their own, ranks whose tokens go to different ones wait for each other forever."
        findings.append(Finding("cfg.zero.experts", "warning", cause, fixes=_NOT_STAGE_3, param=STAGE))
    if quantised := model.get("quantization_config"):
        method = quantised.get("quant_method", "?") if isinstance(quantised, dict) else "?"
        cause = f"the weights of {name} are quantised ({method}), which ZeRO 3 cannot cut into shards."
        fixes = (Fix("give the model in bfloat16, as it was before it was quantised"), *_NOT_STAGE_3)
        findings.append(Finding("cfg.zero.quantised", "error", cause, fixes=fixes, param=STAGE))
    return tuple(findings) or found


def _rate(host: Host) -> Answer:
    """What no rule refuses, because it can be meant, but mostly is a slip."""
    config = config_of(host)
    findings = (*_learning_rate(config), *_equal_answers(config))
    return findings or Ok(f"learning rate {config.optim.actor_learning_rate:g}")


def _learning_rate(config: RunConfig) -> tuple[Finding, ...]:
    rate, adapters = config.optim.actor_learning_rate, config.model.lora_rank > 0
    most = ADAPTER_RATE if adapters else FULL_RATE
    if rate == 0:
        cause = "actor_learning_rate = 0: nothing is learned."
    elif rate > most and not config.model.pretrain.startswith(TOY):
        what = "LoRA adapters" if adapters else "all weights"
        cause = f"actor_learning_rate = {rate:g} is high for reinforcement fine-tuning of {what}, where more "
        cause += f"than {most:g} mostly makes the policy collapse."
    else:
        return ()
    usual = 1e-5 if adapters else 1e-6
    fix = Fix(f"set actor_learning_rate to {usual:g}", set={"optim.actor_learning_rate": usual})
    return (Finding("cfg.lr", "warning", cause, fixes=(fix,), param="optim.actor_learning_rate"),)


def _equal_answers(config: RunConfig) -> tuple[Finding, ...]:
    rollout, n = config.rollout, config.batch.n_samples_per_prompt
    if n == 1:
        return ()
    if rollout.top_k == 1:
        key, value, usual = "rollout.top_k", "1", -1
    elif rollout.temperature < NEARLY_GREEDY:
        key, value, usual = "rollout.temperature", f"{rollout.temperature:g}", 1
    else:
        return ()
    name = key.partition(".")[2]
    return (
        Finding(
            id="cfg.lr.greedy",
            severity="warning",
            cause=f"{name} = {value} makes the {n} responses to a prompt (nearly) equal: their rewards do "
            "not differ, and nothing is learned from them.",
            fixes=(Fix(f"set {name} to {usual}", set={key: usual}),),
            param=key,
        ),
    )


def _check(id: str, title: str, said: Callable[[Host], str], limit_s: float = 2.0) -> Check:
    return Check(id, title, "fast", _of_rules(id, said), needs=("config",), limit_s=limit_s)


CHECKS: tuple[Check, ...] = (
    _check(BATCH, "batch sizes divide and line up", _batch_words, limit_s=20.0),
    _check(GROUP, "there are responses to compare", _group_words),
    _check(TP, "the engine's ranks divide the model", _parallel_words("engine_tp_size")),
    _check(SP, "sequences can be split over ranks", _parallel_words("sp_size")),
    _check(LENGTHS, "prompt and response fit into the sequence, and it into the model", _length_words),
    _check(STRATEGY, "options belong to one strategy", _strategy_words),
    Check(FSDP, "FSDP2 can shard as it is asked to", "fast", _fsdp, needs=("config",)),
    Check(ZERO, "ZeRO goes with the model", "fast", _zero, needs=("config",)),
    _check(SETTINGS, "settings make sense together", lambda host: "no rule is violated"),
    Check("cfg.lr", "learning rate and sampling are in the usual range", "fast", _rate, needs=("config",)),
)
