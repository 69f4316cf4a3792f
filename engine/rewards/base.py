"""Scoring of responses: rule rewards and a user's function, weighted, checked, summed.

Only responses are scored: a prompt that shows the answer's format scores nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from engine.config.sections import RewardSection
from engine.findings import Finding, FindingsError, Fix
from engine.rewards.functions import RewardFn, call, load_function
from engine.rewards.rules import RULES

__all__ = ["Part", "RewardFn", "Scorer", "Scores", "build_scorer", "parse_rules"]


@dataclass(frozen=True)
class Scores:
    """`total`: weighted sum per response. `parts`: each reward's own values, unweighted, by name."""

    total: list[float]
    parts: dict[str, list[float]]


@dataclass(frozen=True)
class Part:
    """One reward of the sum."""

    name: str
    fn: RewardFn
    weight: float = 1.0


class Scorer:
    """The weighted sum of several rewards."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    def score(
        self, responses: list[str], labels: list[Any], prompts: list[str], references: list[Any]
    ) -> Scores:
        """Score responses; all four lists are aligned. Without responses no function is called.

        Raises `FindingsError` (`reward.bad-result`, `reward.fn-raised`) when a function fails or returns
        anything but one finite number per response.
        """
        if not responses:
            return Scores([], {part.name: [] for part in self.parts})
        values = {
            part.name: call(part.fn, part.name, responses, labels, prompts=prompts, references=references)
            for part in self.parts
        }
        total = [sum(p.weight * values[p.name][i] for p in self.parts) for i in range(len(responses))]
        return Scores(total, values)


def build_scorer(reward: RewardSection) -> Scorer:
    """The scorer a configuration asks for. Raises `FindingsError` with everything that is wrong with it."""
    parts, findings = parse_rules(reward.reward_rule or "")
    if not parts and not findings and not reward.reward_fn:
        findings.append(_none_configured())
    if reward.reward_fn:
        try:
            parts.append(Part(reward.reward_fn, load_function(reward.reward_fn)))
        except FindingsError as error:
            findings += error.findings
    if findings:
        raise FindingsError(findings)
    return Scorer(parts)


def parse_rules(spec: str) -> tuple[list[Part], list[Finding]]:
    """The rules in `gsm8k@0.5,exact`, and what is wrong with it."""
    parts: dict[str, Part] = {}
    findings = []
    for item in filter(None, (item.strip() for item in spec.split(","))):
        name, at, weight = item.partition("@")
        if name not in RULES:
            findings.append(_unknown_rule(name))
        elif at and not _is_weight(weight):
            cause = f"The weight of rule {name} is {weight!r}, not a finite number."
            fix = Fix(f"write {name}@0.5, or {name} alone for weight 1")
            findings.append(
                Finding("reward.bad-weight", "error", cause, fixes=(fix,), param="reward.reward_rule")
            )
        elif name in parts:
            cause = f"The rule {name} is given twice in {spec!r}."
            fix = Fix("give it once, with the weight it should have")
            findings.append(
                Finding("reward.rule-twice", "error", cause, fixes=(fix,), param="reward.reward_rule")
            )
        else:
            parts[name] = Part(name, _as_reward(name), float(weight) if at else 1.0)
    return list(parts.values()), findings


def _as_reward(name: str) -> RewardFn:
    rule = RULES[name]
    return lambda responses, labels, *, prompts, references: rule(responses, labels)


def _is_weight(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _unknown_rule(name: str) -> Finding:
    names = sorted(RULES)
    near = get_close_matches(name, names, cutoff=0.3) or names
    return Finding(
        id="reward.unknown-rule",
        severity="error",
        cause=f"There is no reward rule {name!r}; the rules are: {', '.join(names)}.",
        fixes=tuple(Fix(f"use {n}", set={"reward.reward_rule": n}) for n in near),
        param="reward.reward_rule",
    )


def _none_configured() -> Finding:
    return Finding(
        id="reward.missing",
        severity="error",
        cause="No reward is configured: neither reward_rule nor reward_fn is set.",
        fixes=(
            Fix(
                f"set reward_rule to one of: {', '.join(sorted(RULES))}", set={"reward.reward_rule": "gsm8k"}
            ),
            Fix("or set reward_fn to a function of yours, file.py:function"),
        ),
        param="reward.reward_rule",
    )
