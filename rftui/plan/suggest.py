"""What to say and what to change when nothing fits. Every change that is suggested was tried."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from engine.config.load import Resolved
from engine.findings import Finding, Fix
from engine.footprint.catalog import shape_of_size
from engine.footprint.job import Job
from engine.footprint.rollout import kv_capacity
from engine.footprint.terms import Footprint
from rftui.plan.commands import place_options, plan_command
from rftui.plan.fit import lean
from rftui.plan.knobs import CACHE, TP, wider_sizes, with_config, with_values
from rftui.plan.layouts import Values, lean_layouts
from rftui.plan.machines import more_gpus, other_gpus
from rftui.plan.request import Request
from rftui.plan.search import can_fit
from rftui.plan.words import gb

LORA = {"model.lora_rank": 32}
LORA_WORDS = "train LoRA adapters: the weights stay frozen, without gradients and Adam states"
CACHES = tuple(2**power for power in range(8))
"""GiB of an engine's cache that are tried."""
ROUND = 64
"""Suggested lengths are multiples of this."""


def leanest_values(request: Request) -> Values:
    """The values that exceed device and host by the smallest factor; of equal ones those of least peak."""
    place = request.place

    def missing(values: Values) -> tuple[float, int]:
        needed = request.footprint(with_config(request.job, values))
        return max(1, needed.peak / place.free, needed.host_bytes / place.host_memory), needed.peak

    return min((lean(layout, request) for layout in lean_layouts(request)), key=missing)


def does_not_fit(request: Request, job: Job, footprint: Footprint, fixes: tuple[Fix, ...]) -> Finding:
    """The finding with what is missing, and the changes that help."""
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
    if not fixes:
        evidence.append("no change of settings that was tried and no number of GPUs makes it fit")
    return Finding("plan.does-not-fit", "error", cause, tuple(evidence), fixes)


def suggestions(request: Request, relaxed: tuple[Fix, ...] = ()) -> Iterator[Fix]:
    """Changes that make it fit, in the order of preference; two together only where none does alone.

    `relaxed`: those of given values.
    """
    single = [*_lora(request), *relaxed, *_besides(request)]
    yield from single
    if not single and not request.resolved.config.model.lora_rank:
        adapted = changed(request, LORA)
        for fix in _besides(adapted):
            edits = {} if fix.command else LORA | fix.set
            single.append(Fix(f"train LoRA adapters, and {fix.text}", edits, fix.command))
        yield from single
    if request.place.on_cpu or not single:
        yield from other_gpus(request)
        yield from _smaller_model(request)


def changed(request: Request, values: Mapping[str, Any]) -> Request:
    """The same request with some values given."""
    sources = request.resolved.sources | dict.fromkeys(values, "fix")
    return replace(request, resolved=Resolved(with_values(request.resolved.config, values), sources))


def _smaller_model(request: Request) -> Iterator[Fix]:
    """The largest common size that fits."""
    for size in ("72B", "32B", "14B", "7B", "3B", "1.5B", "0.5B"):
        shape = shape_of_size(size)
        smaller = replace(request, shape=shape)
        if shape.params < request.shape.params and can_fit(smaller):
            place = place_options(request.place) if request.described else []
            yield Fix(f"train a smaller model: one of {size} fits", command=plan_command(smaller, *place))
            return


def _lora(request: Request) -> Iterator[Fix]:
    if not request.resolved.config.model.lora_rank and can_fit(changed(request, LORA)):
        yield Fix(LORA_WORDS, set=LORA)


def _besides(request: Request) -> Iterator[Fix]:
    yield from _shorter(request)
    yield from _other_cache(request)
    own_engine = request.job.engine != "hf" and not request.place.on_cpu
    if own_engine:
        yield from _wider_engine(request)
    yield from more_gpus(request)
    if own_engine:
        yield from _smaller_engine(request)


def _other_cache(request: Request) -> Iterator[Fix]:
    """Where GiB were given for the engine's cache: the most below that fit, or what is enough above."""
    given = request.resolved.config.rollout.engine_kv_cache_gb
    if request.is_open(CACHE) or given is None:
        return

    def sized(gib: int) -> dict[str, Any]:
        return {CACHE: gib}

    fits = next((gib for gib in CACHES if can_fit(changed(request, sized(gib)))), None)
    if fits is not None and fits < given:
        most = _most(request, sized, fits, math.ceil(given) - 1)
        yield Fix(f"lower engine_kv_cache_gb to {most}, the most that fits", set=sized(most))
    elif fits is not None:
        yield Fix(f"raise engine_kv_cache_gb to {fits}", set=sized(fits))


def _most(request: Request, values: Callable[[int], Mapping[str, Any]], low: int, high: int) -> int:
    """The largest number up to `high` whose values fit, by bisection; `low` is known to."""
    while low < high:
        middle = (low + high + 1) // 2
        if can_fit(changed(request, values(middle))):
            low = middle
        else:
            high = middle - 1
    return low


def _shorter(request: Request) -> Iterator[Fix]:
    """The longest responses with which it fits, by bisection."""
    rollout = request.resolved.config.rollout
    prompt = rollout.prompt_max_len
    longest = rollout.generate_max_len or rollout.max_len - prompt

    def lengths(steps: int) -> dict[str, Any]:
        return {"rollout.generate_max_len": steps * ROUND, "rollout.max_len": prompt + steps * ROUND}

    low, high = 1, (longest - 1) // ROUND
    if high < low or not can_fit(changed(request, lengths(low))):
        return
    most = _most(request, lengths, low, high)
    yield Fix(f"shorten responses to {most * ROUND} tokens, the most that fits", set=lengths(most))


def _wider_engine(request: Request) -> Iterator[Fix]:
    """Tensor parallel beyond the fast link, but not beyond the machine."""
    for size in wider_sizes(request.job):
        if can_fit(changed(request, {TP: size})):
            text = f"spread the engine over {size} GPUs, beyond those that a fast link joins"
            yield Fix(text, set={TP: size})
            return


def _smaller_engine(request: Request) -> Iterator[Fix]:
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
