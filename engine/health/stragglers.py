"""Who keeps the others waiting, from the `Collective` events of all ranks.

A collective in which every rank needs every other (`all_reduce`, `all_gather…`) ends for all of them at once,
so the rank that waits least in it arrived last. Gathers to one rank and broadcasts say nothing: there some
ranks never wait.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.events import Collective

Waits = dict[int, float]
"""Seconds that each rank waited."""


@dataclass(frozen=True)
class Straggler:
    """The rank that arrived last, and by how many seconds after the median of the others."""

    rank: int
    late: float


def waits_by_step(events: Iterable[Collective]) -> dict[tuple[int, str], Waits]:
    """Seconds in collectives by rank, for each step and group."""
    waits: dict[tuple[int, str], Waits] = {}
    for event in events:
        if event.op.startswith("all_"):
            of_step = waits.setdefault((event.step, event.group), {})
            of_step[event.rank] = of_step.get(event.rank, 0.0) + event.seconds
    return waits


def straggler(waits: Mapping[int, float], at_least: float = 0.1) -> Straggler | None:
    """The rank of a group that waited least, if the others waited at least `at_least` seconds longer."""
    if len(waits) < 2:
        return None
    rank = min(waits, key=lambda rank: (waits[rank], rank))
    late = statistics.median(seconds for other, seconds in waits.items() if other != rank) - waits[rank]
    return Straggler(rank, late) if late >= at_least else None
