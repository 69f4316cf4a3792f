"""The dimensions of the model that a job names, where they are known on this machine."""

from typing import NamedTuple

from diagnostics.rules.job import Job
from engine.findings import Finding, FindingsError, Fix
from engine.footprint.catalog import find_model
from engine.footprint.shape import ModelShape


class Model(NamedTuple):
    """A model as it was found; `said`: what the reader must know of how."""

    shape: ModelShape | None
    said: Finding | None = None


def model_of(job: Job) -> Model:
    """The shape by folder, cache or bundled table; a folder of another machine counts by its last name.

    Nothing is guessed: a model that is not known has no shape, and the finding says what is not checked.
    """
    if not job.model or "$" in job.model:
        return Model(None, _unknown(job, job.model or ""))
    for name in (job.model, _last_name(job.model)):
        try:
            shape = find_model(name)
        except FindingsError:
            continue
        return Model(shape, None if name == job.model else _by_name(job, shape))
    return Model(None, _unknown(job, job.model))


def _last_name(path: str) -> str:
    """`/models/Qwen/Qwen2___5-7B-Instruct` (as ModelScope spells it) → `Qwen2.5-7B-Instruct`."""
    return path.rstrip("/").rpartition("/")[2].replace("___", ".")


def _by_name(job: Job, shape: ModelShape) -> Finding:
    cause = f"{job.model} is not on this machine: by its name it is taken for {shape.name}."
    fix = Fix("run the check where the folder lies, if it holds another model")
    return Finding("check.model-by-name", "info", cause, fixes=(fix,), param=job.name("model"))


def _unknown(job: Job, name: str) -> Finding:
    what = f"the model {name!r} is not known here" if name else "the configuration names no model"
    cause = f"{what}: heads, context length and memory are not checked."
    fix = Fix("run the check where the model's folder lies, or download it to the Hugging Face cache first")
    return Finding("check.model-unknown", "info", cause, fixes=(fix,), param=job.name("model"))
