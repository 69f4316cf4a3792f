"""From a request to a plan: search, explanation, or what to change; or the configuration as it is."""

from dataclasses import replace

from engine.config.choices import installed
from engine.config.load import Resolved
from engine.config.registry import value_of
from engine.findings import Finding, Fix
from engine.footprint.margin import Measured
from engine.footprint.speed import estimate
from rftui.plan import conflicts, explain, suggest
from rftui.plan.fit import Candidate
from rftui.plan.knobs import ENGINE, KNOBS, TP, given_values, tensor_parallel_sizes, with_config, with_values
from rftui.plan.layouts import Values
from rftui.plan.request import Request
from rftui.plan.result import Plan, RunnerUp
from rftui.plan.search import can_fit, search
from rftui.plan.words import gb

SOURCE = "planner"
HOST_DECIDES = 0.8
"""Share of the host memory above which plans are likely to have been left out for want of it."""


def make_plan(request: Request) -> Plan:
    """The fastest plan that fits, explained; where none does, the leanest with what to change."""
    found = search(request)
    if found.best is None:
        leanest = _candidate(request, suggest.leanest_values(request))
        plan = _plan(request, leanest, fits=False)
        return replace(plan, findings=(*plan.findings, *_misfits(request, leanest)))
    plan = _plan(request, found.best, fits=True)
    return replace(plan, runner_up=_runner_up(found.best, found.runner_up) if found.runner_up else None)


def as_given(request: Request) -> Plan:
    """The configuration exactly as it is given, defaults included; what to change is not looked for."""
    exact = _candidate(request, {})
    plan = _plan(request, exact, fits=request.fits(exact.job, exact.footprint))
    defaults = dict.fromkeys((key for key in KNOBS if request.is_open(key)), "the default")
    reasons = _in_order(plan.reasons | defaults)
    return replace(plan, resolved=request.resolved, chosen={}, reasons=reasons)


def evaluate(request: Request) -> Plan:
    """The configuration as it is given: does it fit, how long does it take? Where not, what to change."""
    plan, exact = as_given(request), _candidate(request, {})
    if plan.fits:
        return plan
    if best := search(request).best:
        change = {k: v for k, v in best.values.items() if v != value_of(request.resolved.config, k)}
        advice = Fix("let the planner choose, without --as-is", set=change)
        misfit = suggest.does_not_fit(request, exact.job, exact.footprint, (advice,))
        return replace(plan, findings=(*plan.findings, misfit))
    return replace(plan, findings=(*plan.findings, *_misfits(request, exact)))


def _candidate(request: Request, values: Values) -> Candidate:
    job = with_config(request.job, values)
    times = estimate(job, request.lengths)
    return Candidate(values, job, request.footprint(job), times, times.iteration)


def _plan(request: Request, best: Candidate, *, fits: bool) -> Plan:
    values = request.engine_there | best.values
    sources = request.resolved.sources | dict.fromkeys(values, SOURCE)
    reasons = explain.reasons(best, request) if fits else dict.fromkeys(values, "saves most memory")
    reasons |= dict.fromkeys(request.engine_there, "assumed to be installed there")
    reasons |= explain.kept(request, KNOBS)
    resolved = Resolved(with_values(request.resolved.config, values), sources)
    return Plan(
        resolved=resolved,
        job=best.job,
        footprint=best.footprint,
        times=best.times,
        lengths=request.lengths,
        fits=fits,
        chosen=values,
        given=given_values(resolved.config, request.resolved.sources),
        reasons=_in_order(reasons),
        findings=(*request.findings(best.job.config), *_beyond_island(request), *_disk(request, best)),
        assumptions=(*request.assumptions, *_assumed(request, best)),
        dataset_size=request.dataset_size,
        corrected=_corrected(request.memory.measured(best.job)),
    )


def _corrected(measured: Measured | None) -> str:
    if measured is None:
        return ""
    return f"{measured.runs} run{'s' * (measured.runs != 1)} of {measured.words}"


def _in_order(reasons: dict[str, str]) -> dict[str, str]:
    return {key: reasons[key] for key in (ENGINE, *KNOBS) if key in reasons}


def _misfits(request: Request, nearest: Candidate) -> list[Finding]:
    """What is said of a plan that does not fit: given values that exclude each other, and what is missing."""
    values = conflicts.conflicting(request)
    relaxed = conflicts.relaxed(request, values)
    fixes = tuple(suggest.suggestions(request, relaxed))
    missing = suggest.does_not_fit(request, nearest.job, nearest.footprint, fixes)
    if not values:
        return [missing]
    of_values = tuple(fix for fix in fixes if fix.set.keys() & values.keys())
    return [conflicts.conflict(request, values, of_values), missing]


def _beyond_island(request: Request) -> list[Finding]:
    """A given tensor parallel size that leaves the fast link is kept, with a warning."""
    size, island = request.resolved.config.rollout.engine_tp_size, request.place.island
    if size <= island or request.place.on_cpu:
        return []
    if size > request.place.ranks_per_node:
        reach = "reaches beyond the machine"
    elif island > 1:
        reach = f"reaches beyond the {island} GPUs that NVLink joins"
    else:
        reach = "spreads the engine over GPUs that no NVLink joins"
    cause = f"engine_tp_size = {size} {reach}: every layer waits for the slow link twice."
    inside = reversed(tensor_parallel_sizes(request.job))
    largest = next((one for one in inside if can_fit(suggest.changed(request, {TP: one}))), None)
    fixes = (Fix(f"set engine_tp_size to {largest}", set={TP: largest}),) if largest else ()
    return [Finding("plan.tp-beyond-link", "warning", cause, fixes=fixes, param=TP)]


def _disk(request: Request, best: Candidate) -> list[Finding]:
    """Checkpoints that will not all have room, where the disk is known."""
    needed, free = best.footprint.disk_bytes, request.place.disk_free
    if free is None or needed <= free:
        return []
    keep = request.resolved.config.checkpoint.max_ckpt_num
    cause = f"checkpoints will take {gb(needed)} of disk, and {gb(free)} are free."
    fixes = [Fix("write them to another disk with --save-path")]
    if fewer := int(keep * free / needed):
        fixes.insert(0, Fix(f"keep {fewer}", set={"checkpoint.max_ckpt_num": fewer}))
    return [Finding("plan.disk", "warning", cause, fixes=tuple(fixes), param="checkpoint.max_ckpt_num")]


def _assumed(request: Request, best: Candidate) -> list[str]:
    """What the choice rests on and nobody told."""
    place, host = request.place, best.footprint.host_bytes
    told = []
    if request.described and host > HOST_DECIDES * place.host_memory:
        told.append(
            f"host memory decides here: {gb(host)} of {gb(place.host_memory)} are needed; with more of it "
            "(--host-memory) other plans fit"
        )
    assumed = request.described and best.job.strategy == "deepspeed" and not installed("deepspeed")
    return [*told, *["DeepSpeed is installed on the described machine"] * assumed]


def _runner_up(best: Candidate, other: Candidate) -> RunnerUp:
    values = {key: value for key, value in other.values.items() if best.values.get(key) != value}
    words = explain.difference(best, other.times, other.footprint)
    return RunnerUp(values, other.times, other.footprint.peak, words)
