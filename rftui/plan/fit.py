"""The largest sizes with which a layout fits: micro-batches, and the engine's share of memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.footprint.job import Job
from engine.footprint.speed import Times, estimate
from engine.footprint.terms import Footprint
from rftui.plan.knobs import (
    BUDGET,
    MICRO,
    MICRO_ROLLOUT,
    UTIL,
    micro_batches,
    rollout_micro_batches,
    with_config,
)
from rftui.plan.layouts import Values, merged
from rftui.plan.request import Request

SAME = 1.01
"""Times within this factor count as equal: then the plan that needs less memory is better."""
FEW = 4
"""Sequences of full length for which the engine's cache must have room."""
MOST_SHARE = 90
"""Per cent of a device for the engine: above, nothing is left for what it does not count."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete choice: the values of all open knobs, and what they lead to."""

    values: Values
    job: Job
    footprint: Footprint
    times: Times


def optimistic(layout: Values, request: Request) -> Times:
    """The time of a layout with sizes as large as they get, whether they fit or not."""
    job = with_config(request.job, layout)
    sizes = [options[-1] for options in _sizes(job, request)]
    return estimate(with_config(job, merged(sizes)), request.lengths)


def lean(layout: Values, request: Request) -> Values:
    """A layout with its smallest sizes."""
    job = with_config(request.job, layout)
    return layout | merged([options[0] for options in _sizes(job, request)])


def is_feasible(layout: Values, request: Request) -> bool:
    """Whether a layout fits with its smallest sizes."""
    return request.fits(request.footprint(with_config(request.job, lean(layout, request))))


def fitted(layout: Values, request: Request) -> Candidate | None:
    """The layout with sizes that fit and beyond which nothing is gained; None where none fit."""
    values = lean(layout, request)
    base = with_config(request.job, values)
    if not request.fits(request.footprint(base)):
        return None
    for options in _sizes(base, request):
        if UTIL in options[0]:
            values |= _largest_share(options, values, request)
        else:
            values |= _worthwhile(_fitting(options, values, request), values, request)
    job = with_config(request.job, values)
    return Candidate(values, job, request.footprint(job), estimate(job, request.lengths))


def _sizes(job: Job, request: Request) -> list[list[Values]]:
    """What is to be fitted one after the other, each from small to large."""
    sizes = []
    if request.is_open(MICRO) and request.is_open(BUDGET):
        sizes.append(micro_batches(job))
    if request.is_open(MICRO_ROLLOUT):
        sizes.append(rollout_micro_batches(job))
    if request.is_open(UTIL) and uses_share(job):
        sizes.append(_shares(job, request))
    return sizes


def uses_share(job: Job) -> bool:
    """Whether `engine_mem_util` decides the memory of the engine."""
    return job.engine != "hf" and not job.place.on_cpu and job.config.rollout.engine_kv_cache_gb is None


def _shares(job: Job, request: Request) -> list[Values]:
    """Shares of memory in steps of 0.01, from what the engine and the cache of a few sequences need."""
    rollout, place = job.config.rollout, job.place
    cache = FEW * rollout.max_len * job.shape.kv_bytes(rollout.engine_tp_size, job.compute_bytes)
    low = min(int((_engine_alone(job, request) + cache) / place.device.memory * 100) + 1, MOST_SHARE)
    return [{UTIL: share / 100} for share in range(low, MOST_SHARE + 1)]


def _engine_alone(job: Job, request: Request) -> int:
    """What the engine takes while it generates, besides its cache."""
    rollout = next(phase for phase in request.footprint(job).phases if phase.phase == "rollout")
    return sum(t.bytes for t in rollout.terms if t.where == "engine" and t.name != "KV cache")


def _fitting(options: Sequence[Values], values: Values, request: Request) -> Sequence[Values]:
    """Of sizes in ascending order those that fit; the first is known to."""
    low, high = 0, len(options) - 1
    while low < high:
        middle = (low + high + 1) // 2
        job = with_config(request.job, values | options[middle])
        if request.fits(request.footprint(job)):
            low = middle
        else:
            high = middle - 1
    return options[: low + 1]


def _worthwhile(options: Sequence[Values], values: Values, request: Request) -> Values:
    """The smallest of fitting sizes that is as fast as the largest."""
    jobs = [with_config(request.job, values | option) for option in options]
    times = [estimate(job, request.lengths).iteration for job in jobs]
    limit = min(times) * SAME
    return next(option for option, time in zip(options, times, strict=True) if time <= limit)


def _largest_share(options: Sequence[Values], values: Values, request: Request) -> Values:
    """The largest share of memory with which every phase fits, in closed form.

    The bytes of a phase grow in a straight line with the share, or not at all.
    """
    low, high = options[0][UTIL], options[-1][UTIL]
    small, large = (
        request.footprint(with_config(request.job, values | option)) for option in (options[0], options[-1])
    )
    for at_low, at_high in zip(small.phases, large.phases, strict=True):
        if at_high.bytes > request.place.free:
            slope = (at_high.bytes - at_low.bytes) / (options[-1][UTIL] - options[0][UTIL])
            high = min(high, low + (request.place.free - at_low.bytes) / slope)
    fitting = [option for option in options if option[UTIL] <= high + 1e-9]
    return fitting[-1] if fitting else options[0]
