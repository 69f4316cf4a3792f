"""The relations between parameters: one rule set, for launch, planner, doctor and the interface."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from engine.config import batch_rules, parallel_rules, setting_rules
from engine.config.batch import batch_words, generate_max_len, off_policy_steps, steps_per_rollout
from engine.config.rule import Facts
from engine.config.sections import RunConfig
from engine.findings import Finding

__all__ = [
    "batch_words",
    "check",
    "generate_max_len",
    "off_policy_steps",
    "read_model_config",
    "steps_per_rollout",
]

RULES = (*setting_rules.RULES, *parallel_rules.RULES, *batch_rules.RULES)


def check(
    config: RunConfig,
    *,
    world_size: int,
    dataset_size: int | None = None,
    model_config: Mapping[str, Any] | None = None,
    broken: Collection[str] = (),
) -> list[Finding]:
    """Everything wrong with a configuration, errors before warnings; nothing is changed.

    `dataset_size`: number of training prompts, where known. `model_config`: the model's `config.json`, see
    `read_model_config`. `broken`: `section.key`s whose values are not known (`load.Examined.broken`); rules
    that rest on them are left out.
    """
    facts = Facts(config, world_size, dataset_size, model_config)
    rules = [rule for rule in RULES if rule.reads.isdisjoint(broken)]
    found = [finding for rule in rules for finding in rule.find(facts) if finding.param not in broken]
    return sorted(found, key=lambda finding: finding.severity != "error")


def read_model_config(pretrain: str) -> dict[str, Any] | None:
    """The `config.json` of a local model folder; None where there is none to read."""
    try:
        found = json.loads((Path(pretrain) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
