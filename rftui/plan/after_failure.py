"""Which settings would have fitted, after a run that was expected to fit ran out of memory."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from diagnostics.hardware import Hardware
from diagnostics.places import detected_place
from engine.config.load import Layer, Resolved, examine
from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.findings import FindingsError, Fix
from engine.footprint.catalog import find_model
from engine.footprint.job import Place
from engine.footprint.terms import Footprint
from rftui.plan.ask import request_here
from rftui.plan.knobs import KNOBS
from rftui.plan.planner import SOURCE, evaluate, make_plan
from rftui.plan.request import Request
from rftui.plan.words import gb

RanOut = Literal["device", "host"]
LESS = 0.85
"""Of what the failed configuration was predicted to need, or of what is there: the prediction was too low,
nobody knows by how much, so what comes next must need clearly less."""


def what_would_fit(resolved: Resolved, ranks: int, hardware: Hardware, ran_out: RanOut) -> Fix | None:
    """The settings to change, values that the user gave kept where possible; None where nothing is known.

    A model whose shape is not known is not planned for.
    """
    try:
        shape = find_model(resolved.config.model.pretrain)
    except FindingsError:
        return None
    place, _ = detected_place(hardware, ranks)
    given = [key for key, source in resolved.sources.items() if source != SOURCE]
    failed = request_here(resolved, shape, place, None)
    needed = evaluate(failed).footprint
    less = _with_less(place, needed, ran_out)
    for keys in (given, [key for key in given if key not in KNOBS]):
        request = replace(failed, resolved=_only(keys, resolved.config), place=less)
        if fix := _change(request, resolved.config, needed.peak):
            return fix
    return _suggested(replace(failed, resolved=_only(given, resolved.config), place=less))


def _only(keys: Iterable[str], config: RunConfig) -> Resolved:
    """These values of a configuration as given ones, all else open and at its default."""
    return examine([Layer("own", {key: value_of(config, key) for key in keys})]).resolved


def _with_less(place: Place, needed: Footprint, ran_out: RanOut) -> Place:
    """The same machine with less memory of that kind than was predicted to be needed."""
    if ran_out == "host" and not place.on_cpu:
        return replace(place, host_memory=int(LESS * min(place.host_memory, needed.host_bytes)))
    return replace(place, free=int(LESS * min(place.free, needed.peak)))


def _change(request: Request, failed: RunConfig, before: int) -> Fix | None:
    plan = make_plan(request)
    wanted: dict[str, Any] = {key: value_of(plan.resolved.config, key) for key in KNOBS}
    values = {key: value for key, value in wanted.items() if value != value_of(failed, key)}
    if not plan.fits or not values:
        return None
    words = f"{gb(plan.footprint.peak)} in place of {gb(before)} at the peak, as predicted"
    return Fix(f"settings that need less memory ({words})", set=values)


def _suggested(request: Request) -> Fix | None:
    """The first change of settings that the planner suggests where none of its own choices is enough."""
    misfits = [finding for finding in make_plan(request).findings if finding.id == "plan.does-not-fit"]
    fixes = (fix for finding in misfits for fix in finding.fixes)
    return next((fix for fix in fixes if fix.set), None)
