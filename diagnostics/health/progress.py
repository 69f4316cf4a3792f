"""Whether the run still makes progress: the first sign of a hang, long before any watchdog fires."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from diagnostics.health.observed import Observed
from engine.findings import Finding, Fix

FACTOR = 3.0
AT_LEAST_S = 120.0
FIRST_S = 1200.0
"""The first time of a phase: weights load, kernels compile, graphs are captured."""
LONG_PHASES = ("checkpoint", "eval", "sync", "load")
"""Phases whose length varies with disks and data sets."""
LONG_S = 600.0


@dataclass(frozen=True)
class Stuck:
    """No rank began or ended a phase for `seconds`, beyond `limit` seconds of this phase."""

    phase: str
    step: int
    seconds: float
    limit: float


def stuck(seen: Observed, now: float, hang_after: float | None = None) -> Stuck | None:
    """Whether all ranks have been silent about progress for too long at `now` (Unix seconds).

    `hang_after`: the user's own limit in seconds; else 3 times what the phase usually takes, at least 2
    minutes, 20 minutes where it was not done before and 10 for those that wait for disks.
    """
    alive = [rank for rank in seen.ranks.values() if rank.since and not rank.ended]
    if not alive:
        return None
    newest = max(alive, key=lambda rank: rank.since)
    waited = now - max(newest.since, seen.attempt_began)
    behind = min(alive, key=lambda rank: (rank.step, rank.since))
    limit = hang_after or _limit(seen, behind.phase)
    return Stuck(behind.phase, behind.step, waited, limit) if waited > limit else None


def _limit(seen: Observed, phase: str) -> float:
    done = [seconds for rank in seen.ranks.values() for _, seconds in rank.durations.get(phase, ())]
    if not phase and any(rank.durations for rank in seen.ranks.values()):
        return AT_LEAST_S
    if not done:
        return FIRST_S
    return max(LONG_S if phase in LONG_PHASES else AT_LEAST_S, FACTOR * median(done))


def progress(seen: Observed, now: float, hang_after: float | None = None) -> Iterator[Finding]:
    """The finding of a run that seems to hang; what is at fault is found by the hang analysis."""
    found = stuck(seen, now, hang_after)
    if found is None:
        return
    waiting = [
        f"rank {rank.rank} in {beat.op} number {beat.seq} of {beat.group} for {beat.waiting:.0f} s"
        for rank in seen.ranks.values()
        if (beat := rank.heartbeat) is not None and beat.waiting
    ]
    where = f"phase {found.phase} of step {found.step}" if found.phase else f"step {found.step}"
    yield Finding(
        id="hang.suspected",
        severity="error",
        cause=f"no rank has got any further for {found.seconds:.0f} s in {where}; "
        f"{found.limit:.0f} s is the limit.",
        evidence=tuple(waiting[:16]),
        fixes=(
            Fix("find the rank and the reason", command="rft diagnose --hang NAME"),
            Fix("wait, if this phase may really take so long (hang_after sets the limit)"),
        ),
    )
