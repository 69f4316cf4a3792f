"""Values that need more than another name: loss averages, schedules, periods in rollouts."""

from collections.abc import Iterator, Mapping

from diagnostics.rules.convert_job import Item, Left
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.job import Job
from diagnostics.rules.telling import count

LOSS_AGG = {
    "token-mean": "token-mean",
    "seq-mean-token-mean": "seq-mean-token-mean",
    "seq-mean-token-sum": "seq-mean-token-sum",
    "seq-mean-token-sum-norm": "token-sum-norm",
    "dapo": "token-mean",
    "bnpo": "token-mean",
    "grpo": "seq-mean-token-mean",
    "dr_grpo": "token-sum-norm",
}
SCHEDULERS = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "linear": "linear",
}


def given_items(foreign: Foreign, table: Mapping[str, str]) -> Iterator[Item]:
    """Settings that differ in name alone, as far as the file gives them."""
    for setting, key in table.items():
        value = foreign.get(setting)
        if setting in foreign.settings and value is not None and "$" not in str(value):
            yield Item(key, value, setting)


def _steps_per_rollout(job: Job) -> float | None:
    return job.responses * job.epochs / job.update if job.responses and job.update else None


def every(foreign: Foreign, job: Job, setting: str, key: str) -> Iterator[Item | Left]:
    """A period in rollouts as one in optimizer steps."""
    rollouts, steps = count(foreign, setting), _steps_per_rollout(job)
    if rollouts is None or setting not in foreign.settings or rollouts <= 0:
        return
    if steps is None:
        yield Left(setting, "it counts rollouts, and how many steps one gives is not known")
    else:
        yield Item(key, max(1, round(rollouts * steps)), setting, f"{rollouts} rollouts of {steps:g} steps")
