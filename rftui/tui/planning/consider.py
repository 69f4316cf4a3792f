"""What launch and planner say of edits: at once what fits as it stands, and a moment later the whole check.

Runs in threads: looks at the machine, the preset's file, the data and the model's folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import presets.loader
from diagnostics import preflight
from diagnostics.hardware import Hardware, detect
from engine.config import load
from engine.config.load import Examined, Layer, Resolved
from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError
from presets.loader import Preset
from rftui.launch.prepare import Prepared, Problems, default_ranks, prepare, prepare_new
from rftui.launch.sizing import launch_request
from rftui.plan.ask import Subject, ask, data_size, planned
from rftui.plan.knobs import with_values
from rftui.plan.planner import SOURCE, as_given
from rftui.plan.request import Request
from rftui.plan.result import Plan
from rftui.tui.planning.edits import Edits

UNNAMED = "defaults"
"""What runs are called that were planned without a preset."""
DATA = ("data.prompt_data", "data.prompt_split", "data.input_key", "data.label_key", "data.reference_key")


@dataclass(frozen=True)
class Ground:
    """What edits do not change: the preset, this machine, the folder of runs."""

    preset: Preset | None
    hardware: Hardware
    runs_dir: Path

    @property
    def name(self) -> str:
        return self.preset.name if self.preset else UNNAMED

    @property
    def layers(self) -> list[Layer]:
        return [self.preset.layer] if self.preset else []


@dataclass(frozen=True)
class Considered:
    """What is known of some edits. `resolved` is what would run, with the planner's choices."""

    edits: Edits
    resolved: Resolved
    findings: tuple[Finding, ...]
    plan: Plan | None = None
    """None where nothing could be predicted; of earlier edits where `stale`."""
    prepared: Prepared | None = None
    """Of a complete check without errors on this machine: it can be launched."""
    complete: bool = False
    """Everything was checked, and the planner has chosen."""
    stale: bool = False
    quick: tuple[Finding, ...] = ()
    """Of `findings`, those that are known at once."""
    dataset: tuple[tuple[Any, ...], int | None] | None = None
    """The settings of the data, and the number of prompts."""

    @property
    def errors(self) -> int:
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def ranks(self) -> int:
        """Ranks that would run."""
        if self.prepared is not None:
            return self.prepared.nproc
        return self.plan.job.place.ranks if self.plan else self.resolved.config.parallel.nproc or 1


def look(preset: str, runs_dir: Path) -> Ground:
    """Read the preset (a name or a file; "" for none) and look at this machine; may raise FindingsError."""
    loaded = presets.loader.load(preset) if preset else None
    return Ground(loaded, detect(folder=runs_dir), runs_dir)


def look_again(ground: Ground) -> Ground:
    """The same preset's file and machine as they are now."""
    return look(str(ground.preset.path) if ground.preset else "", ground.runs_dir)


def at_once(edits: Edits, ground: Ground, before: Considered | None) -> Considered:
    """Whether it fits as it stands, with what the planner chose `before` in what is still open."""
    layers = [*ground.layers, edits.layer]
    examined = load.examine(layers)
    dataset = _dataset(examined.resolved.config, before)
    kept = before.plan if before is not None else None
    found: list[Finding] = list(examined.findings)
    plan = None
    if not found:
        try:
            request = _request(edits, ground, layers, examined, dataset[1])
        except FindingsError as error:  # a launch goes on without a plan where only the model is not known
            found += error.findings if edits.gpus else ()
        else:
            plan = _with_choices(request, None if edits.as_is else kept)
            found += request.findings(plan.job.config)
    slow = _slow(before, edits)
    return Considered(
        edits=edits,
        resolved=plan.resolved if plan else examined.resolved,
        findings=(*found, *(finding for finding in slow if finding not in found)),
        plan=plan or kept,
        stale=plan is None,
        quick=tuple(found),
        dataset=dataset,
    )


def completely(now: Considered, ground: Ground) -> Considered:
    """The same edits with all that a launch checks, and with what the planner chooses."""
    if now.edits.gpus is not None:
        return _described(now, ground)
    try:
        prepared = prepared_launch(now.edits, ground)
    except FindingsError as error:
        return replace(now, findings=error.findings, complete=True)
    return replace(
        now,
        resolved=prepared.resolved,
        findings=prepared.warnings,
        plan=prepared.plan,
        prepared=prepared,
        complete=True,
        stale=False,
    )


def prepared_launch(edits: Edits, ground: Ground) -> Prepared:
    """What `rft launch` prepares of these edits; raises FindingsError."""
    if ground.preset is not None:
        return prepare_new(
            str(ground.preset.path),
            [edits.layer],
            runs_dir=ground.runs_dir,
            name=None,
            hardware=ground.hardware,
            as_is=edits.as_is,
        )
    problems = Problems()
    problems.gather(lambda: preflight.check_runs_dir(ground.runs_dir), environment=True)
    return prepare(
        [edits.layer], preset=UNNAMED, hardware=ground.hardware, problems=problems, choose=not edits.as_is
    )


def _described(now: Considered, ground: Ground) -> Considered:
    edits = now.edits
    subject = Subject(
        gpus=edits.gpus, nodes=edits.nodes, dataset_size=now.dataset[1] if now.dataset else None
    )
    try:
        plan = planned([*ground.layers, edits.layer], subject, as_is=edits.as_is)
    except FindingsError as error:
        return replace(now, findings=error.findings, complete=True)
    return replace(now, resolved=plan.resolved, findings=plan.findings, plan=plan, complete=True, stale=False)


def _request(
    edits: Edits, ground: Ground, layers: Sequence[Layer], examined: Examined, dataset_size: int | None
) -> Request:
    if edits.gpus is not None:
        subject = Subject(gpus=edits.gpus, nodes=edits.nodes, dataset_size=dataset_size or 1)
        request, _ = ask(layers, subject)
        return replace(request, dataset_size=dataset_size)
    ranks = examined.resolved.config.parallel.nproc or default_ranks(ground.hardware)
    request, _ = launch_request(examined.resolved, ranks, ground.hardware, dataset_size)
    return request


def _with_choices(request: Request, before: Plan | None) -> Plan:
    """The request with what was chosen before, where that is still open and breaks no rule."""
    choices = {k: v for k, v in before.chosen.items() if request.is_open(k)} if before else {}
    if before is None or not choices:
        return as_given(request)
    config = with_values(request.resolved.config, choices)
    known = {finding.id for finding in request.findings(request.job.config)}
    if not {finding.id for finding in request.findings(config)} <= known:
        return as_given(request)
    sources = request.resolved.sources | dict.fromkeys(choices, SOURCE)
    plan = as_given(replace(request, resolved=Resolved(config, sources)))
    reasons = plan.reasons | {k: before.reasons[k] for k in choices if k in before.reasons}
    return replace(plan, chosen=choices, reasons=reasons)


def _slow(before: Considered | None, edits: Edits) -> tuple[Finding, ...]:
    """What only the whole check finds, as it was found before; not what the planner said of other values."""
    if before is None or before.edits.gpus != edits.gpus:
        return ()
    return tuple(f for f in before.findings if f not in before.quick and not f.id.startswith("plan."))


def _dataset(config: RunConfig, before: Considered | None) -> tuple[tuple[Any, ...], int | None]:
    """The number of prompts, counted again only where other data is named."""
    named = tuple(value_of(config, key) for key in DATA)
    if before is not None and before.dataset is not None and before.dataset[0] == named:
        return before.dataset
    try:
        return named, data_size(config)
    except FindingsError:
        return named, None
