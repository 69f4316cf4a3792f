"""Checks of a run's data and reward: columns and rows, prompt lengths, one call of the reward."""

from typing import Any

import msgspec

from diagnostics import preflight
from diagnostics.doctor.check import Answer, CannotCheck, Check, DoesNotApply, Ok
from diagnostics.doctor.checks import children
from diagnostics.doctor.checks.run_facts import TOY, config_of, is_hub_id, model_folder
from diagnostics.doctor.host import Host
from engine.config.sections import RewardSection
from engine.data.validate import check_source
from engine.findings import Finding, Fix
from engine.rewards.base import parse_rules

PROMPT_MAX_LEN = "rollout.prompt_max_len"
LEFT_OUT = 0.05
"""Share of prompts above the limit from which on it is worth a warning: they are not trained on."""
TOKENIZE_S, REWARD_S, START_S = 60.0, 10.0, 10.0


def _data(host: Host) -> Answer:
    config = config_of(host)
    if not config.data.prompt_data:
        raise CannotCheck("data.prompt_data is not set")
    findings, words = [], []
    for what, spec in (("prompt_data", config.data.prompt_data), ("eval_data", config.eval.eval_data)):
        if spec:
            found, rows = check_source(spec, config.data, what)
            findings += found
            words.append(f"{spec}: {rows} rows" if rows is not None else f"{spec}: not counted")
    return tuple(findings) or Ok("; ".join(words))


def _lengths(host: Host) -> Answer:
    config = config_of(host)
    pretrain, limit = config.model.pretrain, config.rollout.prompt_max_len
    if not config.data.prompt_data:
        raise CannotCheck("data.prompt_data is not set")
    if not pretrain.startswith(TOY) and model_folder(host) is None and not is_hub_id(pretrain):
        raise CannotCheck(f"the tokenizer of {pretrain or 'the model'} is not here")
    seen = children.ask(host, "prompts", limit_s=TOKENIZE_S)
    if seen["findings"]:
        return _findings(seen)
    lengths: list[int] = seen["lengths"]
    if not lengths:
        raise CannotCheck("there are no prompts")
    half, most, longest = (lengths[int(share * (len(lengths) - 1))] for share in (0.5, 0.95, 1.0))
    words = f"of {len(lengths)} prompts half have up to {half} tokens, 95 % up to {most}, all up to {longest}"
    above = sum(length > limit for length in lengths)
    if above <= LEFT_OUT * len(lengths):
        return Ok(f"{words}; the limit is {limit}")
    room = config.rollout.max_len - limit
    edit = {PROMPT_MAX_LEN: longest, "rollout.max_len": longest + room}
    return Finding(
        id="cfg.data.lengths",
        severity="error" if above == len(lengths) else "warning",
        cause=f"{above} of {len(lengths)} prompts are longer than prompt_max_len = {limit}, and left out: "
        f"{words}.",
        fixes=(
            Fix(f"set prompt_max_len to {longest} and max_len to {longest + room}", set=edit),
            Fix("or shorten the prompts, or their system prompt or template"),
        ),
        param=PROMPT_MAX_LEN,
    )


def _reward(host: Host) -> Answer:
    reward = config_of(host).reward
    if not reward.reward_rule and not reward.reward_fn:
        raise DoesNotApply("no rule and no function: cfg.settings")
    found = [*parse_rules(reward.reward_rule or "")[1], *preflight.check_reward_fn(reward.reward_fn)]
    return tuple(found) or Ok(" and ".join(filter(None, (reward.reward_rule, reward.reward_fn))))


def _reward_call(host: Host) -> Answer:
    reward = config_of(host).reward
    name = reward.reward_fn or reward.reward_rule
    if not name:
        raise DoesNotApply("no rule and no function: cfg.settings")
    ran = children.run(host, "reward", f"{REWARD_S:g}", limit_s=START_S + REWARD_S)
    seen = children.answer(ran)
    if ran.code is None or "Timeout (" in ran.err:
        where = tuple(line.strip() for line in ran.err.splitlines() if line.startswith("  File "))
        return Finding(
            id="cfg.reward.slow",
            severity="error",
            cause=f"the reward {name} took more than {REWARD_S:g} s for two short responses: every step "
            "would wait for it.",
            evidence=where[:3],
            fixes=(
                Fix("see where it waits: a server without a timeout, a model that it loads at every call"),
                Fix("try it by itself", command=f"rft reward test --data FILE.jsonl {_flags(reward)}"),
            ),
            param="reward.reward_fn" if reward.reward_fn else "reward.reward_rule",
        )
    if seen is None:
        cause = f"the reward {name} ends the process that calls it: it {children.ending(ran, START_S)}."
        fix = Fix("try it by itself", command=f"rft reward test --data FILE.jsonl {_flags(reward)}")
        return Finding("cfg.reward.died", "error", cause, fixes=(fix,), param="reward.reward_fn")
    if seen["findings"]:
        return _findings(seen)
    right, wrong = seen["total"]
    return Ok(f"{right:g} for the label itself, {wrong:g} for 'I do not know.', {seen['seconds']:.2f} s")


def _flags(reward: RewardSection) -> str:
    return f"--fn {reward.reward_fn}" if reward.reward_fn else f"--rule {reward.reward_rule}"


def _findings(seen: dict[str, Any]) -> tuple[Finding, ...]:
    """What a probe found, each with something to do about it."""
    found = msgspec.convert(seen["findings"], tuple[Finding, ...])
    general = Fix(
        "correct what is named above, then look again", command="rft doctor --deep cfg.data cfg.reward"
    )
    return tuple(f if f.fixes else msgspec.structs.replace(f, fixes=(general,)) for f in found)


CHECKS: tuple[Check, ...] = (
    Check(
        "cfg.data", "the data has the columns that are read", "fast", _data, needs=("config",), limit_s=20.0
    ),
    Check("cfg.data.lengths", "prompts are within the limit", "deep", _lengths, ("config",), TOKENIZE_S + 5),
    Check("cfg.reward", "the reward is there", "fast", _reward, needs=("config",)),
    Check(
        "cfg.reward.call",
        "the reward gives numbers",
        "deep",
        _reward_call,
        ("config",),
        START_S + REWARD_S + 5,
    ),
)
