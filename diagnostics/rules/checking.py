"""One job of another trainer, checked in every respect: reading, rules, environment, batches, memory."""

from diagnostics.rules.arithmetic import in_words
from diagnostics.rules.environment import environment_findings
from diagnostics.rules.foreign import Checked, Foreign
from diagnostics.rules.memory import memory_of
from diagnostics.rules.model import model_of
from diagnostics.rules.rulesets import job_of, rule_findings
from diagnostics.rules.telling import in_order
from engine.footprint.job import Place


def check(foreign: Foreign, place: Place | None = None) -> Checked:
    """All that is found, errors first. `place`: the GPUs it is for; None: memory is told, not judged."""
    job = job_of(foreign)
    model = model_of(job)
    memory = memory_of(foreign, job, model.shape, place)
    findings = [
        *rule_findings(foreign, job, model.shape),
        *memory.findings,
        *environment_findings(foreign),
        *((model.said,) if model.said else ()),
    ]
    return Checked(
        foreign=foreign,
        findings=tuple(in_order(findings)),
        arithmetic=in_words(job),
        memory=memory.lines,
    )
