"""The largest sizes with which a layout fits: micro-batches, and the engine's share of memory."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from engine.footprint.job import Job
from engine.footprint.rollout import kv_capacity
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
COMMON_SHARE = 30
"""Per cent that an engine gets where they are free, should it need more than is predicted to start at all."""
MOST_SHARE = 90
"""Per cent of a device for the engine: above, nothing is left for what it does not count."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A complete choice: the values of all open knobs, and what they lead to."""

    values: Values
    job: Job
    footprint: Footprint
    times: Times
    potential: float
    """Seconds of an iteration with the largest sizes that fit, of which smaller ones may be as good as."""


def optimistic(layout: Values, request: Request) -> float:
    """Seconds that a layout takes with sizes as large as they get, whether they fit or not."""
    job = with_config(request.job, layout)
    values = layout | merged([options[-1] for options in _micro_batches(job, request)])
    if request.is_open(UTIL) and uses_share(job):
        values |= {UTIL: MOST_SHARE / 100}
    return _seconds(values, request)


def lean(layout: Values, request: Request) -> Values:
    """A layout with its smallest sizes."""
    job = with_config(request.job, layout)
    return layout | merged([options[0] for options in _sizes(job, request)])


def is_feasible(layout: Values, request: Request) -> bool:
    """Whether a layout fits with its smallest sizes."""
    job = with_config(request.job, lean(layout, request))
    return request.fits(job, request.footprint(job))


def fitted(layout: Values, request: Request, beat: float = math.inf) -> Candidate | None:
    """The layout with sizes that fit and beyond which nothing is gained.

    None where none fit, or none that takes less than `beat` seconds: sizes too small for that are not tried.
    """
    sizes = _sizes(with_config(request.job, layout), request)
    largest = merged([options[-1] for options in sizes])
    for position, options in enumerate(sizes):
        sizes[position] = options = _fast_enough(options, layout | largest, request, beat)
        if not options:
            return None
    values = layout | merged([options[0] for options in sizes])
    job = with_config(request.job, values)
    if not request.fits(job, request.footprint(job)):
        return None
    slack = 1.0
    for options in sizes:
        if UTIL in options[0]:
            values |= _largest_share(options, values, request)
        else:
            size, slower = _worthwhile(_fitting(options, values, request), values, request)
            values, slack = values | size, slack * slower
    job = with_config(request.job, values)
    times = estimate(job, request.lengths)
    return Candidate(values, job, request.footprint(job), times, times.iteration / slack)


def _sizes(job: Job, request: Request) -> list[list[Values]]:
    """What is to be fitted one after the other, each from small to large."""
    sizes = _micro_batches(job, request)
    if request.is_open(UTIL) and uses_share(job):
        sizes.append(_shares(job))
    return sizes


def _micro_batches(job: Job, request: Request) -> list[list[Values]]:
    sizes = []
    if request.is_open(MICRO) and request.is_open(BUDGET):
        sizes.append(micro_batches(job))
    if request.is_open(MICRO_ROLLOUT):
        sizes.append(rollout_micro_batches(job))
    return sizes


def uses_share(job: Job) -> bool:
    """Whether `engine_mem_util` decides the memory of the engine."""
    return job.engine != "hf" and not job.place.on_cpu and job.config.rollout.engine_kv_cache_gb is None


def _shares(job: Job) -> list[Values]:
    """Shares of memory in steps of 0.01, from a cache of a few sequences up to one that holds all.

    All that are sampled at once, at full length: more would hardly be used.
    """
    most, less = (
        kv_capacity(with_config(job, {UTIL: percent / 100})) for percent in (MOST_SHARE, MOST_SHARE - 1)
    )
    per_step = max(1, most.tokens - less.tokens)  # the cache grows in a straight line with the share

    def holding(sequences: int) -> int:
        spare = most.tokens - sequences * most.max_len
        return min(max(MOST_SHARE - spare // per_step, 1), MOST_SHARE)

    all_at_once = min(most.demand, most.most)
    high = max(holding(all_at_once), COMMON_SHARE)
    low = min(holding(min(FEW, all_at_once)), high)
    return [{UTIL: percent / 100} for percent in range(low, high + 1)]


def _fast_enough(options: list[Values], values: Values, request: Request, beat: float) -> list[Values]:
    """Of sizes in ascending order those that, all others at their largest, take less than `beat` seconds."""
    if beat == math.inf or UTIL in options[0]:
        return options
    return options[bisect_left(options, True, key=lambda one: _seconds(values | one, request) < beat) :]


def _seconds(values: Values, request: Request) -> float:
    return estimate(with_config(request.job, values), request.lengths).iteration


def _fitting(options: Sequence[Values], values: Values, request: Request) -> Sequence[Values]:
    """Of sizes in ascending order those that fit; the first is known to."""
    low, high = 0, len(options) - 1
    while low < high:
        middle = (low + high + 1) // 2
        job = with_config(request.job, values | options[middle])
        if request.fits(job, request.footprint(job)):
            low = middle
        else:
            high = middle - 1
    return options[: low + 1]


def _worthwhile(options: Sequence[Values], values: Values, request: Request) -> tuple[Values, float]:
    """The smallest of fitting sizes that is as fast as the largest, and its time over the largest's."""
    times = [_seconds(values | option, request) for option in options]
    fastest = min(times)
    return next(
        (option, time / fastest)
        for option, time in zip(options, times, strict=True)
        if time <= SAME * fastest
    )


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
