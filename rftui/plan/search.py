"""Searches layouts from fast to slow for the fastest plan that fits, and the one that comes next."""

import math
from dataclasses import dataclass
from typing import Any

from rftui.plan.fit import Candidate, fitted, is_feasible, optimistic
from rftui.plan.knobs import ADAM, CPU, FSDP, FUSED, RECOMPUTE, REFERENCE, SHARD, SLEEP, TP
from rftui.plan.layouts import Values, layouts, lean_layouts, leanest
from rftui.plan.request import Request

Key = tuple[tuple[str, Any], ...]

UNUSUAL: dict[tuple[str, Any], float] = {
    (FSDP, False): 0.05,
    (CPU, True): 0.05,
    (ADAM, True): 0.03,
    (REFERENCE, True): 0.01,
    (SLEEP, False): 0.05,
    (FUSED, True): 0.005,
}
"""The share of time that a choice has to gain before it is made: estimates are not exact, and each of these
is one more thing that can go wrong (a library, host memory, a device with nothing to spare)."""
PER_TP = 0.02
"""The same for each rank that joins a replica: replicas answer independently, tensor parallel ranks wait."""
SLOWER = (FUSED, REFERENCE, ADAM, CPU)
"""Switches that save memory, never time."""
MINOR = (FUSED, REFERENCE, SHARD)
"""Plans that differ in no more than these are no alternatives to each other."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best plan and the best of another kind; `best` is None where nothing fits."""

    best: Candidate | None
    runner_up: Candidate | None = None


def search(request: Request) -> Found:
    """The fastest plan that fits with margin.

    Layouts are tried in the order of the time that they would take with the largest sizes. Once that is more
    than the best plan of a second kind takes, no better one can follow.
    """
    if not can_fit(request):
        return Found(None)
    promised = _Promised(request)
    promises = [(promised(layout) * _weight(layout), layout) for layout in layouts(request)]
    known = {finding.id for finding in request.findings(request.job.config)}
    feasible = _Feasible(request)
    found: dict[Key, tuple[float, Candidate]] = {}  # the best of every kind
    for promise, layout in sorted(promises, key=lambda pair: pair[0]):
        second = sorted(time for time, _ in found.values())[1] if len(found) > 1 else math.inf
        if promise >= second:
            break
        weight, kind = _weight(layout), _key(layout, MINOR)
        beat = min(second, found[kind][0] if kind in found else math.inf)
        candidate = fitted(layout, request, beat / weight) if feasible(layout) else None
        if candidate is None or not {f.id for f in request.findings(candidate.job.config)} <= known:
            continue
        time = candidate.potential * weight
        if time < beat:
            found[kind] = (time, candidate)
    ordered = [candidate for _, candidate in sorted(found.values(), key=lambda pair: pair[0])]
    return Found(*ordered[:2]) if ordered else Found(None)


def can_fit(request: Request) -> bool:
    """Whether any plan fits, and the rules let it pass."""
    return not breaks_rules(request) and any(is_feasible(layout, request) for layout in lean_layouts(request))


def breaks_rules(request: Request) -> bool:
    """Whether what was given could not be launched here, whether it fits or not."""
    return any(finding.severity == "error" for finding in request.findings(request.job.config))


def _key(layout: Values, besides: tuple[str, ...]) -> Key:
    return tuple((name, value) for name, value in layout.items() if name not in besides)


def _weight(layout: Values) -> float:
    """What a plan's time is multiplied by: more than 1 for unusual choices."""
    unusual = sum(UNUSUAL.get(choice, 0.0) for choice in layout.items())
    return 1 + unusual + PER_TP * (layout.get(TP, 1) - 1)


class _Promised:
    """Seconds below which layouts do not come: those of the same one without what only saves memory."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.seen: dict[Key, float] = {}

    def __call__(self, layout: Values) -> float:
        key = _key(layout, SLOWER)
        if key not in self.seen:
            plain = layout | {name: False for name in SLOWER if name in layout}
            self.seen[key] = optimistic(plain, self.request)
        return self.seen[key]


class _Feasible:
    """Whether layouts fit at all: the leanest speaks for those that differ in what saves activations."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.seen: dict[Key, bool] = {}

    def __call__(self, layout: Values) -> bool:
        key = _key(layout, (RECOMPUTE, FUSED))
        if key not in self.seen:
            self.seen[key] = is_feasible(leanest(layout, self.request), self.request)
        return self.seen[key]
