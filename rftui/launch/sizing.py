"""What a launch leaves open is planned here: memory and speed for the model on this machine."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from diagnostics.hardware import Hardware
from diagnostics.places import detected_place
from diagnostics.preflight import torch_uses_gpus
from engine.config.load import Resolved
from engine.config.registry import find, parameters, value_of
from engine.config.values import show
from engine.findings import Finding, FindingsError, Fix
from engine.footprint.catalog import find_model
from rftui.plan.ask import request_here
from rftui.plan.knobs import BUDGET, MICRO, MICRO_ROLLOUT, RECOMPUTE
from rftui.plan.planner import evaluate, make_plan
from rftui.plan.request import Request
from rftui.plan.result import Plan
from rftui.plan.words import duration, flag, gb
from rftui.runs import planned
from rftui.runs.compared import needed
from rftui.runs.planned import Planned, subject_of
from rftui.runs.rundir import RunDir

HOPELESS = 2.0
"""Times the memory that a CPU has: a run that needs more is not started."""


def size(
    resolved: Resolved, ranks: int, hardware: Hardware, dataset_size: int | None, *, as_is: bool
) -> tuple[Plan | None, list[Finding]]:
    """The plan for a launch, and what it says against it; no plan where the model's shape is not known.

    `as_is`: nothing is chosen, and a configuration that does not fit is only warned of.
    """
    try:
        request, notes = launch_request(resolved, ranks, hardware, dataset_size)
    except FindingsError as error:
        return None, [_not_planned(error.findings[0].cause, resolved)]
    place = request.place
    if any(finding.severity == "error" for finding in request.findings(resolved.config)):
        return None, []
    plan = evaluate(request) if as_is else make_plan(request)
    found = [f for f in plan.findings if f.id.startswith("plan.")]
    # Other programs come and go on a CPU, and there is swap; but not for as much again as there is.
    if as_is or (place.on_cpu and plan.footprint.peak < HOPELESS * place.free):
        found = [msgspec.structs.replace(f, severity="warning") for f in found]
        plan = plan if plan.fits or as_is else replace(evaluate(request), findings=plan.findings)
    return plan, [note for note in notes if note.severity == "warning"] + found


def launch_request(
    resolved: Resolved, ranks: int, hardware: Hardware, dataset_size: int | None
) -> tuple[Request, list[Finding]]:
    """What a launch asks the planner, and notes on the machine; FindingsError of an unknown model."""
    shape = find_model(resolved.config.model.pretrain)
    if not torch_uses_gpus():
        hardware = msgspec.structs.replace(hardware, gpus=(), installed=0)
    place, notes = detected_place(hardware, ranks)
    return request_here(resolved, shape, place, dataset_size), notes


def record(run: RunDir, plan: Plan) -> None:
    """Write `plan.json`, unless the one that is there predicts the same but for the margin.

    What an earlier attempt's plan chose, and still holds, stays chosen.
    """
    new, old = _as_planned(plan), planned.read(run)
    if old is None:
        planned.write(run, new)
    elif {p.phase: needed(p) for p in old.footprint.phases} != {
        p.phase: needed(p) for p in new.footprint.phases
    }:
        kept = {name: value for name, value in old.chosen.items() if _present(plan, name) == value}
        reasons = {name: old.reasons[name] for name in kept if name in old.reasons}
        planned.write(
            run,
            msgspec.structs.replace(new, chosen=kept | new.chosen, reasons=new.reasons | reasons),
        )


def _present(plan: Plan, name: str) -> object:
    match = find(name)
    return value_of(plan.resolved.config, match.parameter.key) if match else None


def _as_planned(plan: Plan) -> Planned:
    place = plan.job.place
    return Planned(
        subject=subject_of(plan.job),
        model=plan.job.shape.name,
        params=plan.job.shape.params,
        ranks=place.ranks,
        footprint=plan.footprint,
        iteration_seconds=plan.times.iteration if plan.times.calibrated else None,
        chosen={flag(key): value for key, value in plan.chosen.items()},
        reasons={flag(key): reason for key, reason in plan.reasons.items()},
        held_by_others=place.held,
        corrected=plan.corrected,
    )


def block(plan: Plan) -> Sequence[str]:
    """A few lines on a plan, for the start of a run."""
    worst, place = plan.footprint.worst, plan.job.place
    needs = f"plan: needs {gb(worst.bytes)} of {gb(place.free)} ({worst.phase})"
    if plan.times.calibrated:
        response = f"{plan.times.responses} responses of {plan.lengths.response:g} tokens"
        needs += f", about {duration(plan.times.iteration)} for {response}"
    lines = [needs]
    known = parameters()
    chosen = [(key, value) for key, value in plan.chosen.items() if value != known[key].default]
    if chosen:
        lines.append("  " + ", ".join(f"{flag(key)} {show(value)}" for key, value in chosen))
        lines.append("  why: --dry-run; without any of it: --as-is")
    return lines


def _not_planned(cause: str, resolved: Resolved) -> Finding:
    """Names what stays at its default: of these, a planned launch seldom keeps any."""
    size = BUDGET if BUDGET in resolved.sources else MICRO  # the budget wins
    slow = [key for key in (size, MICRO_ROLLOUT, RECOMPUTE) if key not in resolved.sources]
    kept = ", ".join(f"{flag(key)} = {show(value_of(resolved.config, key))}" for key in slow)
    return Finding(
        id="plan.no-shape",
        severity="warning",
        cause=f"memory is not planned, and nothing was chosen{f' ({kept})' if kept else ''}: {cause}",
        fixes=(
            Fix("give the folder of the model in place of its name"),
            *([Fix(f"or set {', '.join(map(flag, slow))}")] if slow else []),
        ),
    )
