"""From layers of settings and a few words on machine and model to a request; everything wrong at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import presets.loader
from diagnostics.hardware import detect
from diagnostics.places import assumed_of_place, described_place, detected_place
from engine.config import batch, load
from engine.config.load import Layer, Resolved
from engine.config.sections import RunConfig
from engine.data.validate import check_source
from engine.findings import Finding, FindingsError, Fix, raise_errors
from engine.footprint.catalog import find_model, shape_of_size
from engine.footprint.job import Place
from engine.footprint.shape import ModelShape
from engine.footprint.speed import Lengths
from rftui.plan.planner import evaluate, make_plan
from rftui.plan.request import Request
from rftui.plan.result import Plan
from rftui.runs.rundir import default_runs_dir

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """What `rft plan` is told besides settings."""

    gpus: str | None = None
    """One machine's GPUs, "8xA100-80"; None: this machine."""
    nodes: int = 1
    host_memory: int | None = None
    """Bytes of one machine; None: as found, or assumed of a described one."""
    params: str | None = None
    """Plan for a typical model of this size ("7B") in place of `pretrain`."""
    response_len: float | None = None
    dataset_size: int | None = None


@dataclass
class _Problems:
    """Collects what is wrong, to tell all of it together."""

    errors: list[Finding]
    notes: list[Finding]

    def attempt(self, do: Callable[[], T]) -> T | None:
        try:
            return do()
        except FindingsError as error:
            self.errors.extend(error.findings)
            return None

    def sort(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            (self.errors if finding.severity == "error" else self.notes).append(finding)


def preset_layers(preset: str | None = None) -> list[Layer]:
    """The layer of a preset or YAML file; none without one."""
    return [presets.loader.load(preset).layer] if preset else []


def planned(layers: Sequence[Layer], subject: Subject, *, as_is: bool) -> Plan:
    """A plan, or the configuration exactly as it is; raises FindingsError with all errors together.

    What breaks a rule is not planned: it could not be launched either.
    """
    request, warnings = ask(layers, subject)
    raise_errors(request.findings(request.job.config))
    plan = evaluate(request) if as_is else make_plan(request)
    return replace(plan, findings=(*warnings, *plan.findings))


def ask(layers: Sequence[Layer], subject: Subject) -> tuple[Request, tuple[Finding, ...]]:
    """The request, and warnings on the way to it; raises FindingsError with all errors together."""
    examined = load.examine(layers)
    resolved = examined.resolved
    problems = _Problems(list(examined.findings), [])
    shape = problems.attempt(lambda: _shape(resolved.config, subject))
    place = problems.attempt(lambda: _place(resolved.config, subject, problems))
    lengths, length_words = _lengths(resolved.config, subject)
    cap = batch.generate_max_len(resolved.config)
    if subject.response_len and subject.response_len > cap > 0:
        problems.errors.append(_too_long(subject.response_len, cap))
    if problems.errors or shape is None or place is None:
        raise FindingsError(problems.errors)
    request = Request(
        resolved=resolved,
        shape=shape,
        place=place,
        lengths=lengths,
        described=subject.gpus is not None,
        dataset_size=subject.dataset_size or data_size(resolved.config),
    )
    assumptions = [length_words, *([shape.note] if shape.note else [])]
    if request.engine_there:
        assumptions.append("vLLM is installed on the described machine")
    if subject.gpus and place.ranks_per_node < described_place(subject.gpus).ranks_per_node:
        assumptions.append(f"nproc = {place.ranks_per_node}: the other GPUs of {subject.gpus} are not used")
    assumptions += [note.cause for note in problems.notes if note.severity == "info"]
    warnings = tuple(note for note in problems.notes if note.severity != "info")
    warnings += tuple(_not_built(place, shape))
    return replace(request, assumptions=tuple(assumptions)), warnings


def _not_built(place: Place, shape: ModelShape) -> Iterator[Finding]:
    """What can be planned but not launched in this version."""
    if place.nodes > 1:
        cause = f"{place.nodes} machines are planned for, but this version launches on one machine only."
        yield Finding("plan.several-machines", "warning", cause, param="parallel.nnodes")
    if shape.vision:
        cause = f"{shape.name} is planned with its vision tower, but this version trains on text only."
        yield Finding("plan.vision", "warning", cause, param="model.pretrain")


def request_here(resolved: Resolved, shape: ModelShape, place: Place, dataset_size: int | None) -> Request:
    """The request of a launch on this machine."""
    lengths, words = _lengths(resolved.config, Subject())
    notes = [words, *([shape.note] if shape.note else [])]
    return Request(resolved, shape, place, lengths, dataset_size=dataset_size, assumptions=tuple(notes))


def data_size(config: RunConfig) -> int | None:
    """Training prompts, where they lie in local files and can be counted."""
    if not config.data.prompt_data:
        return None
    return check_source(config.data.prompt_data, config.data, "prompt_data")[1]


def _shape(config: RunConfig, subject: Subject) -> ModelShape:
    if subject.params:
        return shape_of_size(subject.params)
    if config.model.pretrain:
        return find_model(config.model.pretrain)
    finding = Finding(
        id="plan.no-model",
        severity="error",
        cause="which model is to be trained is not known: pretrain is not set.",
        fixes=(
            Fix("name it", command="--pretrain Qwen/Qwen2.5-7B-Instruct"),
            Fix("or give its size", command="--params 7B"),
        ),
        param="model.pretrain",
    )
    raise FindingsError([finding])


def _place(config: RunConfig, subject: Subject, problems: _Problems) -> Place:
    nproc = config.parallel.nproc
    if subject.gpus is None:
        if subject.nodes > 1:
            fix = Fix("describe one of them", command=f"--gpus 8xH100 --nodes {subject.nodes}")
            cause = f"{subject.nodes} machines cannot be looked at from one of them."
            raise FindingsError([Finding("plan.nodes-not-described", "error", cause, fixes=(fix,))])
        place, found = detected_place(detect(folder=default_runs_dir()), nproc)
        problems.sort(found)
        return replace(place, host_memory=subject.host_memory) if subject.host_memory else place
    place = described_place(subject.gpus, subject.nodes, subject.host_memory)
    problems.sort(assumed_of_place(subject.gpus, subject.nodes, subject.host_memory))
    if nproc is None or nproc == place.ranks_per_node:
        return place
    if nproc > place.ranks_per_node:
        cause = f"nproc = {nproc} ranks need {nproc} GPUs, and {subject.gpus} has {place.ranks_per_node}."
        fix = Fix(f"use at most {place.ranks_per_node}", set={"parallel.nproc": place.ranks_per_node})
        raise FindingsError(
            [Finding("env.too-few-gpus", "error", cause, fixes=(fix,), param="parallel.nproc")]
        )
    return replace(place, ranks=nproc * subject.nodes, ranks_per_node=nproc, island=min(place.island, nproc))


def _too_long(response: float, cap: int) -> Finding:
    cause = f"responses of {response:g} tokens on average are longer than the longest, {cap}."
    fixes = (Fix(f"say at most {cap}", command=f"--response-len {cap}"), Fix("or raise generate_max_len"))
    return Finding("plan.response-too-long", "error", cause, fixes=fixes)


def _lengths(config: RunConfig, subject: Subject) -> tuple[Lengths, str]:
    """Mean lengths, and in words where they come from."""
    prompt, cap = config.rollout.prompt_max_len / 2, batch.generate_max_len(config)
    response = subject.response_len or cap / 2
    how = "as given" if subject.response_len else "half of the longest (--response-len says otherwise)"
    words = f"responses of {response:g} tokens on average, {how}; prompts of {prompt:g}, half of the longest"
    return Lengths(prompt, response), words
