"""A plan as plain values, for `--json`. Sizes in GB (1e9 bytes), times in seconds."""

from typing import Any

import msgspec

from engine.footprint.speed import Times
from engine.footprint.terms import Term
from rftui.plan.result import Plan
from rftui.plan.words import GB, flag

PARTS = ("rollout", "reward", "logprob", "update", "sync", "offload")


def as_values(plan: Plan, price: float | None = None) -> dict[str, Any]:
    """Everything that a plan says. `chosen` has every parameter that the planner decides, given ones too.

    Where `advice` is false nothing fits, and `chosen` is what needs least.

    `price`: of a GPU and hour in USD.
    """
    footprint, place, shape = plan.footprint, plan.job.place, plan.job.shape
    runner_up = plan.runner_up
    return {
        "fits": plan.fits,
        "advice": plan.fits,
        "peak_gb": _gb(footprint.peak),
        "free_gb": _gb(place.free),
        "phases": {phase.phase: _gb(phase.bytes) for phase in footprint.phases},
        "chosen": {flag(key): value for key, value in (plan.given | plan.chosen).items()},
        "given": [flag(key) for key in plan.given],
        "reasons": {flag(key): reason for key, reason in plan.reasons.items()},
        "model": {"name": shape.name, "family": shape.family, "params": shape.params},
        "place": {
            "device": place.device.name,
            "gpus": place.ranks,
            "gpus_per_node": place.ranks_per_node,
            "nodes": place.nodes,
            "link_island": place.island,
        },
        "host_gb": _gb(footprint.host_bytes),
        "host_free_gb": _gb(place.host_memory),
        "disk_gb": _gb(footprint.disk_bytes),
        "moments": {phase.phase: phase.moment for phase in footprint.phases},
        "terms": {
            **{phase.phase: _terms(phase.terms) for phase in footprint.phases},
            "host": _terms(footprint.host),
            "disk": _terms(footprint.disk),
        },
        "times": _times(plan.times),
        "lengths": {"prompt": plan.lengths.prompt, "response": plan.lengths.response},
        "run": {
            "iterations": plan.iterations,
            "seconds": None if plan.seconds is None else round(plan.seconds),
            "usd": plan.cost(price),
        },
        "batch": plan.batch_words,
        "runner_up": runner_up
        and {
            "values": {flag(key): value for key, value in runner_up.values.items()},
            "iteration_s": round(runner_up.times.iteration, 2),
            "peak_gb": _gb(runner_up.peak),
            "cost": runner_up.words,
        },
        "corrected": plan.corrected,
        "findings": msgspec.to_builtins(plan.findings),
        "assumptions": list(plan.assumptions),
    }


def _terms(terms: tuple[Term, ...]) -> list[dict[str, Any]]:
    return [
        {"name": t.name, "gb": _gb(t.bytes), "formula": t.formula, "source": t.source, "where": t.where}
        for t in terms
    ]


def _times(times: Times) -> dict[str, Any]:
    return {
        **{f"{part}_s": round(getattr(times, part), 3) for part in PARTS},
        "iteration_s": round(times.iteration, 3),
        "responses": times.responses,
        "tokens_per_s": round(times.tokens_per_s, 1),
        "samples_per_min": round(times.samples_per_min, 2),
        "mfu": times.mfu,
        "bound": times.bound,
        "calibrated": times.calibrated,
    }


def _gb(size: int) -> float:
    return round(size / GB, 3)
