"""The ways to lay a run out: strategy, tensor parallel, recomputation, offloads. Sizes are fitted later."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from engine.models.families import PACKABLE
from rftui.plan.knobs import (
    ADAM,
    BUDGET,
    CPU,
    FSDP,
    FUSED,
    MICRO,
    PACKING,
    RECOMPUTE,
    REFERENCE,
    SHARD,
    SLEEP,
    STAGE,
    TP,
    has_reference,
    tensor_parallel_sizes,
    with_config,
)
from rftui.plan.request import Request

Values = dict[str, Any]


def layouts(request: Request) -> list[Values]:
    """Every combination that the rules let pass, the plain ones first."""
    options = [
        _strategies(request),
        _offloads(request),
        _switch(request, FUSED, False, True),
        _switch(request, RECOMPUTE, False, True),
        _tensor_parallel(request),
        [{}] if request.place.on_cpu else _switch(request, SLEEP, True, False),
        [_packing(request)],
    ]
    allowed = [_without_conflicts(request, one) for one in options]
    return [
        values
        for parts in product(*allowed)
        if not ((values := merged(parts)).get(FSDP) is False and values.get(CPU))  # of FSDP2 only
    ]


def leanest(layout: Values, request: Request) -> Values:
    """The same layout with what saves activations, as far as it is open."""
    return layout | {key: True for key in (RECOMPUTE, FUSED) if request.is_open(key)}


def lean_layouts(request: Request) -> list[Values]:
    """Of all layouts those with the least memory of device or host: if none of them fits, none does."""
    saving = [
        layout
        for layout in layouts(request)
        if leanest(layout, request) == layout
        and layout.get(STAGE, 3) == 3
        and layout.get(REFERENCE, True) == layout.get(ADAM, True)  # nothing in host memory, or all
    ]
    return saving or layouts(request)


def _strategies(request: Request) -> list[Values]:
    shards: list[Values] = [{}]
    if request.is_open(SHARD) and request.place.nodes > 1:
        shards.append({SHARD: request.place.ranks_per_node})
    fsdp, stage = request.is_open(FSDP), request.is_open(STAGE)
    if not stage:
        return [{}]
    zero: list[Values] = [{FSDP: False, STAGE: number} for number in (2, 3, 1)]
    if not fsdp:
        chosen = request.resolved.config.parallel.fsdp
        return [{STAGE: number} for number in (2, 3, 1)] if chosen is False else shards
    plain = [{FSDP: True, **shard} for shard in shards]
    return plain + zero if request.has_deepspeed and request.place.ranks > 1 else plain


def _offloads(request: Request) -> list[Values]:
    """From none to everything; on a CPU there is nowhere else."""
    if request.place.on_cpu:
        return [{}]
    reference = has_reference(request.resolved.config)
    ways: list[Values] = [{REFERENCE: False, ADAM: False, CPU: False}]
    ways += [{REFERENCE: True, ADAM: False, CPU: False}] * reference
    ways += [{REFERENCE: False, ADAM: True, CPU: False}]
    ways += [{REFERENCE: True, ADAM: True, CPU: False}] * reference
    ways += [{REFERENCE: False, ADAM: False, CPU: True}]
    given = {key for key in (REFERENCE, ADAM, CPU) if not request.is_open(key)}
    return list(_distinct({k: v for k, v in way.items() if k not in given} for way in ways))


def _switch(request: Request, key: str, *values: bool) -> list[Values]:
    return [{key: value} for value in values] if request.is_open(key) else [{}]


def _tensor_parallel(request: Request) -> list[Values]:
    """An engine of its own on GPUs may spread over several; hf never does."""
    job = request.job
    if not request.is_open(TP) or job.engine == "hf" or job.place.on_cpu:
        return [{}]
    return [{TP: size} for size in tensor_parallel_sizes(job)]


def _packing(request: Request) -> Values:
    """Rows are packed where the model family allows it and the size of a micro-batch is open.

    Not on a CPU: nothing is known there of what it gains.
    """
    open_there = request.is_open(PACKING) and not request.place.on_cpu
    sized = request.is_open(MICRO) or not request.is_open(BUDGET)
    return {PACKING: True} if open_there and sized and request.shape.family in PACKABLE else {}


def _without_conflicts(request: Request, options: list[Values]) -> list[Values]:
    """Those that the rules have nothing more against than against what was given."""
    known = {finding.id for finding in request.findings(request.job.config)}
    fine = [
        option
        for option in options
        if not option or {f.id for f in request.findings(with_config(request.job, option).config)} <= known
    ]
    return fine or [{}]


def merged(parts: Iterable[Values]) -> Values:
    """Later values win."""
    return {key: value for part in parts for key, value in part.items()}


def _distinct(values: Iterable[Values]) -> Iterator[Values]:
    seen: list[Values] = []
    for one in values:
        if one not in seen:
            seen.append(one)
            yield one
