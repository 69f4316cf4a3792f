"""Searches layouts from fast to slow for the fastest plan that fits, and the one that comes next."""

from dataclasses import dataclass
from typing import Any

from rftui.plan.fit import Candidate, fitted, is_feasible, optimistic
from rftui.plan.knobs import ADAM, CPU, FSDP, FUSED, RECOMPUTE, REFERENCE, SLEEP, TP
from rftui.plan.layouts import Values, layouts, leanest
from rftui.plan.request import Request

UNUSUAL: dict[tuple[str, Any], float] = {
    (FSDP, False): 0.05,
    (CPU, True): 0.05,
    (ADAM, True): 0.03,
    (REFERENCE, True): 0.01,
    (SLEEP, False): 0.02,
    (FUSED, True): 0.005,
}
"""The share of time that a choice has to gain before it is made: estimates are not exact, and each of these
is one more thing that can go wrong (a library, host memory, a device with nothing to spare)."""
PER_TP = 0.01
"""The same for each rank that joins a replica: replicas answer independently, tensor parallel ranks wait."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best plan and the next best layout; `best` is None where nothing fits."""

    best: Candidate | None
    runner_up: Candidate | None = None


def search(request: Request) -> Found:
    """The fastest plan that fits with margin.

    Layouts are tried in the order of the time that they would take with the largest sizes. Once that is more
    than the second best plan takes, no better one can follow.
    """
    promises = [(_weighed(optimistic(layout, request).iteration, layout), layout) for layout in layouts(request)]
    known = {finding.id for finding in request.findings(request.job.config)}
    feasible = _Feasible(request)
    found: list[tuple[float, Candidate]] = []
    for promise, layout in sorted(promises, key=lambda pair: pair[0]):
        if len(found) > 1 and promise >= found[1][0]:
            break
        candidate = fitted(layout, request) if feasible(layout) else None
        if candidate is None or not {f.id for f in request.findings(candidate.job.config)} <= known:
            continue
        found.append((_weighed(candidate.times.iteration, layout), candidate))
        found.sort(key=lambda pair: pair[0])
    best = [candidate for _, candidate in found[:2]]
    return Found(best[0] if best else None, best[1] if len(best) > 1 else None)


def _weighed(seconds: float, layout: Values) -> float:
    unusual = sum(UNUSUAL.get((key, value), 0.0) for key, value in layout.items() if value in (True, False))
    return seconds * (1 + unusual + PER_TP * (layout.get(TP, 1) - 1))


class _Feasible:
    """Whether layouts fit at all: the leanest speaks for all that differ from it in what saves activations."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.seen: dict[tuple[tuple[str, Any], ...], bool] = {}

    def __call__(self, layout: Values) -> bool:
        key = tuple((name, value) for name, value in layout.items() if name not in (RECOMPUTE, FUSED))
        if key not in self.seen:
            self.seen[key] = is_feasible(leanest(layout, self.request), self.request)
        return self.seen[key]
