"""Which ranks are slow or silent, and how much of the time goes into waiting for them."""

from collections.abc import Iterator
from statistics import median

from diagnostics.health.observed import Observed
from engine.findings import Finding, Fix
from engine.health.stragglers import straggler

SCORE = 0.7
"""Others' time / own time; a rank below it takes 1.4 times as long as the others, or as it once did."""
OF_STEPS = 5
"""Newest steps, in each of which it must be the same rank: chance makes it three of five often enough."""
MIN_SECONDS = 0.1
"""Phases shorter than this vary too much to be judged."""
OWN_PHASES = ("rollout", "reward", "logprob")
"""Phases in which a rank works by itself; in an update it waits for the others in every backward pass."""
SILENT_S = 30.0
"""A rank gives a heartbeat every 5 seconds, whatever its main thread does."""
WAIT_SHARE = 0.4


def ranks(seen: Observed, now: float) -> Iterator[Finding]:
    """Findings of all ranks at `now` (Unix seconds)."""
    yield from _silent(seen, now)
    yield from _late(seen)
    yield from _slower_than_others(seen)
    yield from _slower_than_before(seen)


def _silent(seen: Observed, now: float) -> Iterator[Finding]:
    silent = {
        rank.rank: now - rank.last_seen
        for rank in seen.ranks.values()
        if not rank.ended and rank.last_seen and now - rank.last_seen > SILENT_S
    }
    if not silent:
        return
    worst = max(silent, key=lambda rank: silent[rank])
    yield Finding(
        id="rank.silent",
        severity="warning",
        cause=f"{_ranks(silent)} gave no sign of life for {silent[worst]:.0f} s, though a thread of its own "
        "gives one every 5 s: the process is stopped, starved of CPU, or its disk does not answer.",
        evidence=tuple(
            f"rank {rank}: last in phase {seen.ranks[rank].phase or 'none'} of step {seen.ranks[rank].step}"
            for rank in list(silent)[:8]
        ),
        fixes=(
            Fix("find out what it does", command="rft diagnose --hang NAME"),
            Fix("see its state (T: stopped, D: waiting for a disk)", command="ps -o pid,stat,wchan -p PID"),
        ),
    )


def _late(seen: Observed) -> Iterator[Finding]:
    """The rank that the others waited for in all of the newest steps."""
    steps = sorted({step for step, _ in seen.waits})[-OF_STEPS:]
    late: dict[int, dict[int, float]] = {}
    for (step, _), waits in seen.waits.items():
        if step in steps and len(waits) == len(seen.ranks):
            found = straggler(waits, at_least=MIN_SECONDS)
            if found and _matters(seen, step, found.late):
                of_rank = late.setdefault(found.rank, {})
                of_rank[step] = max(found.late, of_rank.get(step, 0.0))
    for rank, seconds in ((rank, list(of_rank.values())) for rank, of_rank in late.items()):
        if len(seconds) == OF_STEPS:
            yield Finding(
                id="rank.straggler",
                severity="warning",
                cause=f"the others waited for rank {rank} in each of the last {OF_STEPS} steps, "
                f"{median(seconds):.2g} s each time.",
                evidence=tuple(f"{each:.2f} s" for each in seconds),
                fixes=_look_at(rank),
            )


def _matters(seen: Observed, step: int, late: float) -> bool:
    """Whether the wait is a fair part of that step's time."""
    first = seen.ranks.get(0)
    spent = sum(s for each in (first.durations.values() if first else ()) for n, s in each if n == step)
    return late > WAIT_SHARE * max(spent, MIN_SECONDS)


def _slower_than_others(seen: Observed) -> Iterator[Finding]:
    for phase in OWN_PHASES:
        steps = [_times(seen, phase, step) for step in _last_steps(seen, phase)]
        slow = _slow(steps) if len(steps) == OF_STEPS else {}
        if slow:
            worst = min(slow, key=lambda rank: slow[rank])
            yield Finding(
                id=f"rank.slow-{phase}",
                severity="warning",
                cause=f"rank {worst} takes {1 / slow[worst]:.1f} times as long in phase {phase} as the "
                f"others, in each of the last {OF_STEPS} steps.",
                evidence=tuple(f"rank {rank}: score {score:.2f}" for rank, score in slow.items()),
                fixes=_look_at(worst),
            )


def _slow(steps: list[dict[int, float]]) -> dict[int, float]:
    """Ranks that were slower than the others in every step, with their median scores.

    Response lengths alone put some rank far behind the fastest in most steps, but not the same one each time.
    """
    scores = {rank: [_score(times, rank) for times in steps] for rank in steps[0]}
    slow = {rank: median(each) for rank, each in scores.items() if max(each) < SCORE}
    others = scores.keys() - slow.keys()
    apart = bool(slow and others) and all(
        min(times[rank] for rank in slow) > max(times[rank] for rank in others) for times in steps
    )
    return slow if apart else {}


def _score(times: dict[int, float], rank: int) -> float:
    """The others' median time / the rank's own; 1 where it is too short to be judged, or alone."""
    others = [seconds for other, seconds in times.items() if other != rank]
    return median(others) / times[rank] if others and times[rank] > MIN_SECONDS else 1.0


def _slower_than_before(seen: Observed) -> Iterator[Finding]:
    for phase in (*OWN_PHASES, "update"):
        for rank in seen.ranks.values():
            seconds = [spent for _, spent in rank.durations.get(phase, ())]
            if len(seconds) < 4 * OF_STEPS:
                continue
            usual, newest = median(seconds[: -2 * OF_STEPS]), seconds[-OF_STEPS:]
            slower = [usual / spent for spent in newest if spent > MIN_SECONDS and usual / spent < SCORE]
            if len(slower) == OF_STEPS and not _responses_grew(seen, usual, median(newest)):
                yield Finding(
                    id="rank.became-slow",
                    severity="warning",
                    cause=f"phase {phase} of rank {rank.rank} takes {median(newest):.2f} s now and took "
                    f"{usual:.2f} s before.",
                    fixes=_look_at(rank.rank),
                )
                return


def _responses_grew(seen: Observed, before: float, now: float) -> bool:
    """Whether longer responses explain it: then everybody is slower, and nobody is at fault."""
    lengths = [value for _, value in seen.metrics.get("response/length_mean", ())]
    if len(lengths) < 4 * OF_STEPS:
        return False
    return median(lengths[-OF_STEPS:]) / max(median(lengths[: -2 * OF_STEPS]), 1e-9) > SCORE * now / before


def _last_steps(seen: Observed, phase: str) -> list[int]:
    """The newest steps that every rank has done."""
    done = [{step for step, _ in rank.durations.get(phase, ())} for rank in seen.ranks.values()]
    return sorted(set.intersection(*done))[-OF_STEPS:] if done else []


def _times(seen: Observed, phase: str, step: int) -> dict[int, float]:
    """Seconds of each rank."""
    return {
        rank.rank: sum(seconds for n, seconds in rank.durations.get(phase, ()) if n == step)
        for rank in seen.ranks.values()
    }


def _look_at(rank: int) -> tuple[Fix, ...]:
    return (
        Fix(f"see whether rank {rank}'s GPU is slowed down or shared", command="rft doctor gpu"),
        Fix("look whether its share of long responses or slow rewards is larger than the others'"),
    )


def _ranks(found: dict[int, float]) -> str:
    numbers = ", ".join(map(str, sorted(found)))
    return f"rank {numbers}" if len(found) == 1 else f"ranks {numbers}"
