"""Larger machines than the one that is too small: more GPUs of its kind, more RAM, or other GPUs."""

from collections.abc import Iterator
from dataclasses import replace

from diagnostics.places import described_place
from engine.findings import Fix
from engine.footprint.job import Place
from rftui.plan.commands import place_options, plan_command
from rftui.plan.fit import lean
from rftui.plan.knobs import with_config
from rftui.plan.layouts import lean_layouts
from rftui.plan.request import Request
from rftui.plan.search import breaks_rules, can_fit
from rftui.plan.words import GB

MOST_GPUS = 512
UNLIMITED = 2**62
OTHER_KINDS = ("A100-80", "H200")
IN_ONE = 8
"""GPUs that a common machine has."""


def more_gpus(request: Request) -> Iterator[Fix]:
    """The fewest GPUs of this kind with which it fits; where the host is too small, with how much RAM."""
    larger = [] if request.place.on_cpu else list(_larger(request.place))
    if not larger or not _least_host_memory(replace(request, place=larger[-1])):
        return
    wider = [replace(request, place=place) for place in larger]
    for there in wider:
        if can_fit(there):
            yield Fix(f"use {_words(there.place)}", command=plan_command(there, *place_options(there.place)))
            return
    for there in (request, *wider):
        if not breaks_rules(there) and (host := _least_host_memory(there)):
            place = replace(there.place, host_memory=host * GB)
            text = f"use {_words(place)} with {host} GB of RAM" + (" each" if place.nodes > 1 else "")
            yield Fix(text, command=plan_command(there, *place_options(place)))
            return


def other_gpus(request: Request) -> Iterator[Fix]:
    """The fewest of common large GPUs in one machine with which it fits."""
    for kind in OTHER_KINDS:
        for count in (1, 2, 4, 8):
            there = replace(request, place=described_place(f"{count}x{kind}"), described=True)
            if can_fit(there):
                yield Fix(f"use {count} × {kind}", command=plan_command(there, *place_options(there.place)))
                return


def _larger(place: Place) -> Iterator[Place]:
    """The same kind of machine with more GPUs: up to eight in one, then more machines."""
    ranks = place.ranks
    while (ranks := ranks * 2) <= MOST_GPUS:
        in_one = ranks if ranks <= IN_ONE else IN_ONE if ranks % IN_ONE == 0 else place.ranks_per_node
        yield replace(
            place,
            ranks=ranks,
            ranks_per_node=in_one,
            island=in_one if place.device.nvlink else place.island,
            host_memory=place.host_memory * in_one // place.ranks_per_node,
        )


def _words(place: Place) -> str:
    return f"{place.ranks} GPUs" + (f" on {place.nodes} machines" if place.nodes > 1 else "")


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
