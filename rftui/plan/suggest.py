"""What to change when nothing fits: given values that exclude each other, and small changes that help."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from diagnostics.places import described_place
from engine.config.load import Resolved
from engine.config.values import show
from engine.findings import Finding, Fix
from engine.footprint.job import Job, Place
from engine.footprint.rollout import kv_capacity
from engine.footprint.terms import Footprint
from rftui.plan.fit import Candidate, lean
from rftui.plan.knobs import KNOBS, given_values, with_config, with_values
from rftui.plan.layouts import Values, lean_layouts
from rftui.plan.request import Request
from rftui.plan.search import can_fit, search
from rftui.plan.words import GB, flag, gb, setting, settings

LORA_RANK = 32
ROUND = 64
"""Suggested lengths are multiples of this."""
MOST_GPUS = 1024
UNLIMITED = 2**62


def leanest_values(request: Request) -> Values:
    """The values with the smallest peak, fitting or not; of those that fit the host, if any does."""

    def missing(values: Values) -> tuple[bool, int]:
        needed = request.footprint(with_config(request.job, values))
        return needed.host_bytes > request.place.host_memory, needed.peak

    return min((lean(layout, request) for layout in lean_layouts(request)), key=missing)


def does_not_fit(request: Request, job: Job, footprint: Footprint) -> Finding:
    """The finding with what is missing, and changes that are known to help."""
    worst, place, name = footprint.worst, request.place, request.shape.name
    on = "rank" if place.on_cpu else "GPU"
    if footprint.peak > place.free:
        cause = (
            f"{name} does not fit: {worst.phase} needs {gb(worst.bytes)} on each {on}, "
            f"{gb(place.free)} are free."
        )
        terms = worst.terms
    elif footprint.host_bytes > place.host_memory:
        cause = (
            f"{name} does not fit: a machine needs {gb(footprint.host_bytes)} of host memory, "
            f"{gb(place.host_memory)} are there."
        )
        terms = footprint.host
    else:
        tokens, longest = kv_capacity(job).tokens, job.config.rollout.max_len
        cause = (
            f"{name} does not fit: the engine's share of memory leaves a KV cache of {tokens:,} tokens, "
            f"less than one sequence of max_len = {longest:,}."
        )
        terms = next(p.terms for p in footprint.phases if p.phase == "rollout")
    largest = sorted(terms, key=lambda term: -term.bytes)[:4]
    evidence = [f"{gb(term.bytes):>9}  {term.name}: {term.formula}" for term in largest]
    fixes = tuple(suggestions(request))
    if not fixes:
        evidence.append("neither LoRA, nor shorter responses, nor more GPUs would make it fit")
    return Finding("plan.does-not-fit", "error", cause, tuple(evidence), fixes)


def suggestions(request: Request) -> Iterator[Fix]:
    """Changes that make it fit, each checked, in the order of preference."""
    yield from _lora(request)
    yield from _relaxed(request)
    yield from _shorter(request)
    yield from _more_gpus(request)
    yield from _smaller_engine(request)
    yield from _gpus_at_all(request)


def conflicting(request: Request) -> dict[str, Any]:
    """The smallest set of given values that cannot hold together; empty where nothing fits without them.

    Values are let go one after the other, as long as what is left still does not fit.
    """
    given = given_values(request.resolved.config, request.resolved.sources)
    if not can_fit(without(request, set(given))):
        return {}
    needed = dict(given)
    for key in given:
        rest = {name for name in given if name not in needed or name == key}
        if not can_fit(without(request, rest)):
            del needed[key]
    return needed


def conflict(request: Request) -> Finding | None:
    """The finding on given values that exclude each other."""
    values = conflicting(request)
    if not values:
        return None
    sources = request.resolved.sources
    evidence = tuple(f"{setting(key, value)}: given by {sources[key]}" for key, value in values.items())
    if len(values) == 1:
        cause = f"with {settings(values)} nothing fits, whatever else is chosen."
    else:
        words = [setting(key, value) for key, value in values.items()]
        cause = f"{', '.join(words[:-1])} and {words[-1]} cannot hold together: no plan fits with them."
    return Finding("plan.conflict", "error", cause, evidence, tuple(_relaxed(request)), next(iter(values)))


def without(request: Request, keys: set[str]) -> Request:
    """The same request with some given values left open."""
    from engine.config.registry import parameters

    config = with_values(request.resolved.config, {key: parameters()[key].default for key in keys})
    sources = {key: source for key, source in request.resolved.sources.items() if key not in keys}
    return replace(request, resolved=Resolved(config, sources))


def changed(request: Request, values: Mapping[str, Any]) -> Request:
    """The same request with some values given."""
    config = with_values(request.resolved.config, values)
    return replace(
        request, resolved=Resolved(config, request.resolved.sources | dict.fromkeys(values, "fix"))
    )


def _lora(request: Request) -> Iterator[Fix]:
    if request.resolved.config.model.lora_rank:
        return
    values = {"model.lora_rank": LORA_RANK}
    if can_fit(changed(request, values)):
        yield Fix(
            "train LoRA adapters: the weights stay frozen, without gradients and Adam states", set=values
        )


def _relaxed(request: Request) -> Iterator[Fix]:
    """Given values that are in the way, each with the value that the planner would take instead."""
    for key, value in given_values(request.resolved.config, request.resolved.sources).items():
        best = _best(without(request, {key}))
        if best is not None:
            instead = best.values.get(key)
            text = f"let the planner choose {flag(key)} in place of {show(value)}"
            if instead is None:
                yield Fix(text, set={key: None} if key in _OPTIONAL else {})
            else:
                yield Fix(f"set {flag(key)} to {show(instead)} in place of {show(value)}", set={key: instead})


_OPTIONAL = {key for key in KNOBS if key.startswith("parallel.")} | {"batch.max_tokens_per_micro_batch"}


def _best(request: Request) -> Candidate | None:
    return search(request).best


def _shorter(request: Request) -> Iterator[Fix]:
    """The longest responses with which it fits, by bisection."""
    rollout = request.resolved.config.rollout
    prompt = rollout.prompt_max_len
    longest = rollout.generate_max_len or rollout.max_len - prompt

    def lengths(response: int) -> dict[str, Any]:
        return {"rollout.generate_max_len": response, "rollout.max_len": prompt + response}

    low, high = 0, (longest - 1) // ROUND
    while low < high:
        middle = (low + high + 1) // 2
        if can_fit(changed(request, lengths(middle * ROUND))):
            low = middle
        else:
            high = middle - 1
    if low:
        yield Fix(f"shorten responses to {low * ROUND} tokens, the most that fits", set=lengths(low * ROUND))


def _more_gpus(request: Request) -> Iterator[Fix]:
    """The fewest GPUs of this kind with which it fits; where the host is too small, with how much RAM."""
    if request.place.on_cpu:
        return
    larger = list(_larger(request.place))
    for place in larger:
        if can_fit(replace(request, place=place)):
            yield Fix(f"use {_machines(place)}", command=_described(place))
            return
    for place in (request.place, *larger):
        if host := _least_host_memory(replace(request, place=place)):
            text = f"use {_machines(place)} with {host} GB of RAM" + (" each" if place.nodes > 1 else "")
            yield Fix(text, command=f"{_described(place)} --host-memory {host}")
            return


def _larger(place: Place) -> Iterator[Place]:
    """The same kind of machine with more GPUs: up to eight in one, then more machines."""
    ranks = place.ranks
    while (ranks := ranks * 2) <= MOST_GPUS:
        in_one = min(ranks, max(8, place.ranks_per_node))
        yield replace(
            place,
            ranks=ranks,
            ranks_per_node=in_one,
            island=in_one if place.device.nvlink else place.island,
            host_memory=place.host_memory * in_one // place.ranks_per_node,
        )


def _machines(place: Place) -> str:
    return f"{place.ranks} GPUs" + (f" on {place.nodes} machines" if place.nodes > 1 else "")


def _described(place: Place) -> str:
    nodes = f" --nodes {place.nodes}" if place.nodes > 1 else ""
    return f"--gpus {place.ranks_per_node}x{place.device.name}{nodes}"


def _least_host_memory(request: Request) -> int | None:
    """GB of RAM that a machine needs for some plan; None where the devices are too small for any."""
    unlimited = replace(request, place=replace(request.place, host_memory=UNLIMITED))
    needed = []
    for layout in lean_layouts(unlimited):
        job = with_config(unlimited.job, lean(layout, unlimited))
        footprint = unlimited.footprint(job)
        if unlimited.fits(job, footprint):
            needed.append(footprint.host_bytes)
    return -(-min(needed) // GB) if needed else None


def _smaller_engine(request: Request) -> Iterator[Fix]:
    if request.job.engine == "hf" or request.place.on_cpu:
        return
    for values, text in (
        ({"rollout.engine_quantization": "fp8"}, "keep the engine's weights in fp8"),
        (
            {"rollout.engine_type": "hf"},
            "generate with transformers: no second copy of the weights, but slow",
        ),
    ):
        if can_fit(changed(request, values)):
            yield Fix(text, set=values)
            return


def _gpus_at_all(request: Request) -> Iterator[Fix]:
    """For a CPU: how many GPUs of a common kind it would take."""
    if not request.place.on_cpu:
        return
    for count in (1, 2, 4, 8):
        place = described_place(f"{count}xA100-80")
        if can_fit(replace(request, place=place, described=True)):
            yield Fix(f"use {count} GPU{'s' * (count > 1)}", command=_described(place))
            return
