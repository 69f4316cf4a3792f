"""Each framework's job and rules, by its name."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from diagnostics.rules import (
    lightrft_batch,
    lightrft_effects,
    lightrft_traps,
    openrlhf_batch,
    openrlhf_settings,
    trinity,
    trinity_settings,
    trl_batch,
    trl_model,
    trl_settings,
    verl_batch,
    verl_rollout,
    verl_settings,
)
from diagnostics.rules.common import common_findings
from diagnostics.rules.foreign import Foreign, Framework
from diagnostics.rules.job import Job, sensible
from diagnostics.rules.job_lightrft import job_of_lightrft
from diagnostics.rules.job_openrlhf import job_of_openrlhf
from diagnostics.rules.job_trinity import job_of_trinity
from diagnostics.rules.job_trl import job_of_trl
from diagnostics.rules.job_verl import job_of_verl
from diagnostics.rules.telling import Rule, in_order, run
from engine.findings import Finding
from engine.footprint.shape import ModelShape


class Ruleset(NamedTuple):
    """How a framework's settings become a job, and what is wrong with them there."""

    job: Callable[[Foreign], Job]
    rules: tuple[Rule, ...]


RULESETS: Mapping[Framework, Ruleset] = {
    "lightrft": Ruleset(
        job_of_lightrft, (*lightrft_batch.RULES, *lightrft_traps.RULES, *lightrft_effects.RULES)
    ),
    "openrlhf": Ruleset(job_of_openrlhf, (*openrlhf_batch.RULES, *openrlhf_settings.RULES)),
    "verl": Ruleset(job_of_verl, (*verl_batch.RULES, *verl_rollout.RULES, *verl_settings.RULES)),
    "trl": Ruleset(job_of_trl, (*trl_batch.RULES, *trl_model.RULES, *trl_settings.RULES)),
    "trinity": Ruleset(job_of_trinity, (*trinity.RULES, *trinity_settings.RULES)),
}


def job_of(foreign: Foreign) -> Job:
    """The settings in common terms."""
    return sensible(RULESETS[foreign.framework].job(foreign))


def rule_findings(foreign: Foreign, job: Job, shape: ModelShape | None) -> list[Finding]:
    """What the reading, the framework's rules and the common ones find, errors first."""
    own = run(RULESETS[foreign.framework].rules, foreign, job)
    return in_order([*foreign.problems, *own, *common_findings(foreign, job, shape)])
