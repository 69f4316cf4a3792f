"""Given values that leave no plan that fits: which of them exclude each other, and what to give instead."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.config.load import Resolved
from engine.config.registry import parameters
from engine.config.values import show
from engine.findings import Finding, Fix
from rftui.plan.knobs import BESIDES, CACHE, KNOBS, LENGTHS, given_values, with_values
from rftui.plan.request import Request
from rftui.plan.search import can_fit, search
from rftui.plan.words import flag, setting, settings


def conflicting(request: Request) -> dict[str, Any]:
    """The smallest set of given values that cannot hold together; empty where nothing fits without them.

    Values are let go one after the other, as long as what is left still does not fit.
    """
    given = given_values(request.resolved.config, request.resolved.sources, (*KNOBS, *BESIDES))
    if not given or not can_fit(without(request, set(given))):
        return {}
    needed = dict(given)
    for key in given:
        rest = {name for name in given if name not in needed or name == key}
        if not can_fit(without(request, rest)):
            del needed[key]
    return needed


def relaxed(request: Request, values: Mapping[str, Any]) -> tuple[Fix, ...]:
    """Of `values`, those that alone are in the way, each with what the planner takes instead.

    Not of sizes that need only be less: the most that fits is suggested elsewhere.
    """
    fixes = []
    for key, value in values.items():
        if key in (CACHE, *LENGTHS):
            continue
        best = search(without(request, {key})).best
        if best is None:
            continue
        instead = best.values.get(key, parameters()[key].default)
        text = f"set {flag(key)} to {show(instead)} in place of {show(value)}"
        fixes.append(Fix(text, set={key: instead}))
    return tuple(fixes)


def conflict(request: Request, values: Mapping[str, Any], fixes: tuple[Fix, ...]) -> Finding:
    """The finding on given values that exclude each other."""
    sources = request.resolved.sources
    evidence = tuple(f"{setting(key, value)}: given by {sources[key]}" for key, value in values.items())
    if len(values) == 1:
        cause = f"with {settings(values)} no plan fits."
    else:
        words = [setting(key, value) for key, value in values.items()]
        cause = f"{', '.join(words[:-1])} and {words[-1]} cannot hold together: no plan fits with them."
    return Finding("plan.conflict", "error", cause, evidence, fixes, next(iter(values)))


def without(request: Request, keys: set[str]) -> Request:
    """The same request with some given values left open."""
    config = with_values(request.resolved.config, {key: parameters()[key].default for key in keys})
    sources = {key: source for key, source in request.resolved.sources.items() if key not in keys}
    return replace(request, resolved=Resolved(config, sources))
