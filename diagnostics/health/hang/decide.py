"""The verdict on a run that does not move, from everything that was seen.

Strongest first: a rank that ended; one that is stopped; one that the kernel holds in a system call on a disk;
what the flight recorders tell, with the stacks of the ranks that they name; stacks alone.
"""

from collections.abc import Iterable

import msgspec

from diagnostics.health.hang import ras, stacks
from diagnostics.health.hang.call_sites import CallSite
from diagnostics.health.hang.dump_analysis import DESYNC, STRAGGLER, judge
from diagnostics.health.hang.evidence import Evidence, Round
from diagnostics.health.hang.verdict import HangClass, Seen, Verdict
from diagnostics.health.hang.words import ranks_words

_WAITING_S = 2.0
"""A rank that has been in one collective for less does not count as waiting."""
_TASKS: dict[str, tuple[HangClass, str, str]] = {
    "reward": ("reward", "unknown", "in a reward function"),
    "data": ("data", "unknown", "reading or preparing data"),
    "engine": ("engine", "unknown", "in the rollout engine"),
    "storage": ("storage", "unknown", "reading or writing files"),
}


def decide(evidence: Evidence) -> Verdict:
    """The first answer that the evidence supports, with what all probes say."""
    verdict = (
        _ended(evidence)
        or _goes_on(evidence)
        or _stopped(evidence)
        or _held_by_disk(evidence)
        or _from_probes(evidence)
    )
    phase, step = _place(evidence.last, verdict.ranks)
    told = (*verdict.evidence, *_context(evidence, verdict))
    return msgspec.structs.replace(verdict, evidence=told, phase=phase, step=step)


# --- processes --------------------------------------------------------------------------------------------


def _ended(evidence: Evidence) -> Verdict | None:
    gone = _ranks(rank for rank, p in evidence.last.processes.items() if p.state == "ended")
    failure = evidence.failure
    if failure is None and (not gone or len(gone) == len(evidence.last.processes)):
        return None
    if failure is None:
        said = f"The process of {ranks_words(gone)} is gone, and nothing tells why; the others wait for it."
        seen = Seen("processes", f"no process of {ranks_words(gone)}", gone)
        return _dead(gone, said, (seen,), sure=False)
    if failure.about_peer and (recorded := judge(evidence.last.dumps)).ranks:
        seen = Seen(failure.probe, f"rank {failure.rank} {failure.said}", (failure.rank,))
        return msgspec.structs.replace(recorded, evidence=(*recorded.evidence, seen))
    told = [Seen(failure.probe, f"rank {failure.rank} {failure.said}", (failure.rank,))]
    if gone:
        told.append(Seen("processes", f"no process of {ranks_words(gone)}", gone))
    killed = failure.exit_code == -9 and (evidence.oom_kills or 0) > 0
    said = f"Rank {failure.rank} {failure.said}"
    if killed:
        said += f"; meanwhile the kernel ended {evidence.oom_kills} processes of this container for memory"
    verdict = _dead((failure.rank,), f"{said}.", tuple(told), sure=failure.rank in gone)
    if killed:
        return msgspec.structs.replace(verdict, kind="host-oom", cause="host-oom-killed")
    return verdict


def _dead(ranks: tuple[int, ...], said: str, seen: tuple[Seen, ...], *, sure: bool) -> Verdict:
    return Verdict(
        kind="dead-process",
        ranks=ranks,
        cause="worker-died-unknown",
        said=said,
        evidence=seen,
        confidence="high" if sure else "medium",
        disproof=f"A living process of {ranks_words(ranks)}.",
    )


def _goes_on(evidence: Evidence) -> Verdict | None:
    """No hang at all: a rank went to another phase while it was looked at."""
    first, last = evidence.rounds[0].places, evidence.last.places
    moved = _ranks(
        rank
        for rank, place in last.items()
        if place and ((before := first.get(rank)) is None or _spot(before) != _spot(place))
    )
    if not moved or len(evidence.rounds) < 2:
        return None
    said = f"The run goes on: {ranks_words(moved)} came to another phase while it was looked at."
    return Verdict(
        kind="unknown", ranks=(), cause="unknown", said=said, evidence=(Seen("events", said, moved),)
    )


def _spot(place: object) -> tuple[object, ...]:
    return tuple(getattr(place, name) for name in ("step", "phase", "state"))


def _stopped(evidence: Evidence) -> Verdict | None:
    stopped = _ranks(rank for rank, p in evidence.last.processes.items() if p.state in ("stopped", "traced"))
    if not stopped:
        return None
    how = ", ".join(sorted({evidence.last.processes[rank].state for rank in stopped}))
    pids = ", ".join(str(evidence.last.processes[rank].pid) for rank in stopped)
    recorded = judge(evidence.last.dumps)
    agree = set(recorded.ranks) == set(stopped)
    silent = not any(evidence.last.stacks[rank].threads for rank in stopped if rank in evidence.last.stacks)
    seen = [Seen("processes", f"{ranks_words(stopped)}: the process ({pids}) is {how}", stopped)]
    if agree:
        seen += recorded.evidence
    return Verdict(
        kind="stopped-process",
        ranks=stopped,
        cause=STRAGGLER,
        said=f"{ranks_words(stopped).capitalize()} cannot run: the process ({pids}) is {how}, by SIGSTOP, a "
        "debugger or a frozen container. `kill -CONT` lets it go on.",
        where=recorded.where,
        evidence=tuple(seen),
        confidence="high" if agree or silent else "medium",
        disproof=f"A process of {ranks_words(stopped)} that runs or sleeps.",
    )


def _held_by_disk(evidence: Evidence) -> Verdict | None:
    held = _ranks(
        rank
        for rank in evidence.last.processes
        if all(seen.processes[rank].state == "disk" for seen in evidence.rounds)
    )
    if not held or len(evidence.rounds) < 2:
        return None
    process = evidence.last.processes[held[0]]
    seen = [
        Seen(
            "processes", f"{ranks_words(held)} in a system call that nothing interrupts {process.wchan}", held
        )
    ]
    site = _site(evidence.last, held[0])
    if site and site.kind == "storage":
        seen.append(Seen("stacks", f"{ranks_words(held)} at {site.frame}", held))
    return Verdict(
        kind="storage",
        ranks=held,
        cause="unknown",
        said=f"{ranks_words(held).capitalize()} waits for a disk or a network file system, in a system call "
        "that nothing interrupts.",
        where=str(site.frame) if site and site.frame else process.wchan,
        evidence=tuple(seen),
        confidence="high" if len(seen) > 1 else "medium",
        disproof="The process leaves the state D by itself.",
    )


# --- recorders and stacks ---------------------------------------------------------------------------------


def _from_probes(evidence: Evidence) -> Verdict:
    recorded = judge(evidence.last.dumps)
    absent = _absent_by_stacks(evidence.last)
    if recorded.kind == "desync":
        return _desync(evidence, recorded)
    if recorded.ranks:
        return _kept_by(evidence, recorded, absent)
    if recorded.kind in ("network", "first-collective") and not absent:
        all_in = _kinds(evidence.last, evidence.last.stacks) <= {"collective", "device"}
        seen = Seen("stacks", "every rank stands in a collective", _ranks(evidence.last.stacks))
        return _supported(recorded, [seen] if all_in and _has_stacks(evidence.last) else [])
    if absent:
        return _at_work(
            evidence, absent, Seen("stacks", f"{ranks_words(absent)} not in a collective", absent)
        )
    return _all_alike(evidence, recorded)


def _kept_by(evidence: Evidence, recorded: Verdict, absent: tuple[int, ...]) -> Verdict:
    """The recorders name ranks that are waited for: their stacks tell what they do instead."""
    ranks = recorded.ranks
    behind = _behind_by_events(evidence.last)
    supports = []
    if set(absent) == set(ranks):
        supports.append(Seen("stacks", f"{ranks_words(absent)} not in a collective, the others are", absent))
    if behind and set(behind) == set(ranks):
        supports.append(
            Seen("events", f"{ranks_words(behind)} not in the collective that others wait in", behind)
        )
    kinds = _kinds(evidence.last, ranks)
    if kinds == {"collective"}:
        site = _site(evidence.last, ranks[0])
        told = (
            f"{ranks_words(ranks).capitalize()} took another path, and waits at {site and site.frame}: "
            f"{recorded.said}"
        )
        verdict = msgspec.structs.replace(recorded, kind="desync", cause=DESYNC, said=told)
        return _supported(verdict, supports)
    return _supported(_at_work(evidence, ranks, *recorded.evidence), supports)


def _desync(evidence: Evidence, recorded: Verdict) -> Verdict:
    """Do the stacks part the same ranks from the others?"""
    sides = stacks.vote(evidence.last.stacks)
    odd = _ranks(rank for side in sides[1:] for rank in side)
    supports = []
    if odd and set(odd) == set(recorded.ranks):
        supports.append(Seen("stacks", f"{ranks_words(odd)} elsewhere than the {len(sides[0])} others", odd))
    behind = _behind_by_events(evidence.last)
    if behind and set(behind) == set(recorded.ranks):
        supports.append(Seen("events", f"{ranks_words(behind)} at another number than the others", behind))
    return _supported(recorded, supports)


def _at_work(evidence: Evidence, ranks: tuple[int, ...], *seen: Seen) -> Verdict:
    """Ranks that others wait for, classified by where they stand."""
    told = list(seen)
    sites = {rank: site for rank in ranks if (site := _site(evidence.last, rank))}
    for rank, site in sites.items():
        told.append(Seen("stacks", f"rank {rank} stands at {site.frame}", (rank,)))
    kinds = {site.kind for site in sites.values()}
    one = next(iter(kinds)) if len(kinds) == 1 else "other"
    kind, cause, doing = _TASKS.get(
        one, ("straggler", STRAGGLER, "not in the collective that the others wait in")
    )
    where = next((str(site.frame) for site in sites.values() if site.frame), "")
    moving = _moving(evidence, ranks)
    manner = "; its stack moves: it is slow, or tries again and again" if moving else ""
    be = "is" if len(ranks) == 1 else "are"
    at = f", at {where}" if where else ""
    silent = [rank for rank in ranks if rank not in sites]
    if silent and not where and silent[0] in evidence.last.stacks:
        at = f" ({evidence.last.stacks[silent[0]].silence})"
    return Verdict(
        kind=kind,
        ranks=ranks,
        cause=cause if cause != "unknown" else STRAGGLER,
        said=f"{ranks_words(ranks).capitalize()} {be} {doing}{at}, and the others wait{manner}.",
        where=where,
        evidence=tuple(told),
        confidence="medium",
        disproof=f"Later stacks in which {ranks_words(ranks)} {be} elsewhere.",
    )


def _all_alike(evidence: Evidence, recorded: Verdict) -> Verdict:
    """No rank is named: all do the same, or nothing is known."""
    kinds = _kinds(evidence.last, evidence.last.stacks)
    if len(kinds) == 1 and (kind := next(iter(kinds))) in _TASKS:
        verdict = _at_work(evidence, _ranks(evidence.last.stacks))
        hang, _, doing = _TASKS[kind]
        said = f"All ranks are {doing}, at {verdict.where}; no collective is unfinished."
        verdict = msgspec.structs.replace(verdict, kind=hang, ranks=(), said=said, cause="unknown")
        return _supported(verdict, list(recorded.evidence) if recorded.kind == "outside" else [])
    if kinds == {"collective"}:
        return msgspec.structs.replace(
            recorded,
            kind="network",
            cause=STRAGGLER,
            said="All ranks stand in a collective, and no flight recorder tells who is missing from it.",
            confidence="low",
        )
    return recorded


# --- what the probes tell ---------------------------------------------------------------------------------


def _absent_by_stacks(seen: Round) -> tuple[int, ...]:
    """Ranks outside of collectives while others are in one; else those without a stack."""
    kinds = {rank: site.kind for rank in seen.stacks if (site := _site(seen, rank))}
    inside = [rank for rank, kind in kinds.items() if kind in ("collective", "device")]
    if not inside:
        return ()
    outside = [rank for rank in kinds if rank not in inside]
    return _ranks(outside or [rank for rank in seen.stacks if rank not in kinds])


def _behind_by_events(seen: Round) -> tuple[int, ...]:
    """Ranks whose heartbeats show them outside of the engine's collective that others are in."""
    beats = {rank: place.heartbeat for rank, place in seen.places.items() if place and place.heartbeat}
    waiting = {rank: beat for rank, beat in beats.items() if (beat.waiting or 0.0) >= _WAITING_S}
    if not waiting:
        return ()
    ahead = max(waiting.values(), key=lambda beat: beat.seq)
    return _ranks(
        rank
        for rank, beat in beats.items()
        if rank not in waiting or (beat.group, beat.seq) < (ahead.group, ahead.seq)
    )


def _site(seen: Round, rank: int) -> CallSite | None:
    return seen.stacks[rank].site() if rank in seen.stacks else None


def _kinds(seen: Round, ranks: Iterable[int]) -> set[str]:
    return {site.kind for rank in ranks if (site := _site(seen, rank))}


def _has_stacks(seen: Round) -> bool:
    return any(stack.threads for stack in seen.stacks.values())


def _moving(evidence: Evidence, ranks: Iterable[int]) -> tuple[int, ...]:
    """Ranks whose own frames changed between rounds."""
    return _ranks(
        rank
        for rank in ranks
        if len({s.stacks[rank].own_frames() for s in evidence.rounds if rank in s.stacks}) > 1
    )


def _supported(verdict: Verdict, supports: list[Seen]) -> Verdict:
    """High confidence where a second probe names the same ranks."""
    if not supports:
        return verdict
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, *supports), confidence="high")


def _context(evidence: Evidence, verdict: Verdict) -> list[Seen]:
    """What was seen besides: the vote of the stacks, RAS, places of the ranks, probes that say nothing."""
    told = []
    groups = stacks.vote(evidence.last.stacks)
    if groups:
        sizes = "; ".join(
            f"{ranks_words(ranks)} at {_innermost(evidence.last, ranks[0])}" for ranks in groups
        )
        told.append(Seen("stacks", f"{len(groups)} different: {sizes}"))
    for rank, stack in evidence.last.stacks.items():
        if stack.silence and evidence.last.processes[rank].alive:
            told.append(Seen("stacks", f"no stack of rank {rank}: {stack.silence}", (rank,)))
    pids = {rank: process.pid for rank, process in evidence.last.processes.items()}
    for state, ranks in ras.ranks_of(evidence.ras, pids).items():
        told.append(Seen("ras", f"{state}: {ranks_words(ranks)}", ranks))
    if evidence.ras.absence:
        told.append(Seen("ras", evidence.ras.absence))
    spots: dict[str, list[int]] = {}
    for rank, place in evidence.last.places.items():
        words = f"{place.phase} of step {place.step} ({place.state})" if place else "no event yet"
        spots.setdefault(words, []).append(rank)
    told += [Seen("events", f"{ranks_words(ranks)}: {words}", tuple(ranks)) for words, ranks in spots.items()]
    return told


def _innermost(seen: Round, rank: int) -> str:
    site = _site(seen, rank)
    frames = seen.stacks[rank].threads[0].frames
    return str((site and site.frame) or (frames[0] if frames else "no Python frame"))


def _place(seen: Round, ranks: tuple[int, ...]) -> tuple[str, int]:
    """Phase and step of the ranks at fault, else of the first rank."""
    for rank in (*ranks, *seen.places):
        if place := seen.places.get(rank):
            return place.phase, place.step
    return "", -1


def _ranks(ranks: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(ranks))
