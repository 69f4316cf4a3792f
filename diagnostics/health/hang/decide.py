"""The verdict on a run that does not move, from everything that was seen.

Strongest first: a rank that ended; one that is stopped; one that the kernel holds in a system call on a disk;
where the others stand.
"""

import msgspec

from diagnostics.health.hang import ras, stacks
from diagnostics.health.hang.dump_analysis import STRAGGLER, judge
from diagnostics.health.hang.ended import ended
from diagnostics.health.hang.evidence import Evidence, Round
from diagnostics.health.hang.standing import site_of, standing
from diagnostics.health.hang.verdict import Seen, Verdict
from diagnostics.health.hang.words import ranks_words
from engine.health.peers import Place


def decide(evidence: Evidence) -> Verdict:
    """The first answer that the evidence supports, with what all probes say."""
    verdict = (
        ended(evidence)
        or _goes_on(evidence)
        or _stopped(evidence)
        or _held_by_disk(evidence)
        or standing(evidence)
    )
    phase, step = _place(evidence.last, verdict.ranks)
    told = (*verdict.evidence, *_context(evidence))
    return msgspec.structs.replace(verdict, evidence=told, phase=phase, step=step)


def _goes_on(evidence: Evidence) -> Verdict | None:
    """No hang at all: a rank went to another phase while it was looked at."""
    first, last = evidence.rounds[0].places, evidence.last.places
    moved = tuple(sorted(rank for rank, place in last.items() if _spot(place) != _spot(first.get(rank))))
    if not moved:
        return None
    said = f"The run goes on: {ranks_words(moved)} came to another phase while it was looked at."
    seen = (Seen("events", said, moved),)
    return Verdict(kind="no-hang", ranks=(), cause="unknown", said=said, evidence=seen)


def _spot(place: Place | None) -> tuple[int, str, str] | None:
    return (place.step, place.phase, place.state) if place else None


def _stopped(evidence: Evidence) -> Verdict | None:
    processes = evidence.last.processes
    stopped = tuple(sorted(rank for rank, p in processes.items() if p.state in ("stopped", "traced")))
    if not stopped:
        return None
    how = ", ".join(sorted({processes[rank].state for rank in stopped}))
    pids = ", ".join(str(processes[rank].pid) for rank in stopped)
    recorded = judge(evidence.last.dumps)
    agrees = recorded.ranks == stopped
    seen = Seen("processes", f"{ranks_words(stopped)}: the process ({pids}) is {how}", stopped)
    return Verdict(
        kind="stopped-process",
        ranks=stopped,
        cause=STRAGGLER,
        said=f"{ranks_words(stopped).capitalize()} cannot run: the process ({pids}) is {how}, by SIGSTOP, a "
        "debugger or a frozen container. `kill -CONT` lets it go on.",
        where=recorded.where,
        evidence=(seen, *recorded.evidence) if agrees else (seen,),
        confidence="high" if agrees else "medium",
        disproof=f"A process of {ranks_words(stopped)} that runs or sleeps.",
    )


def _held_by_disk(evidence: Evidence) -> Verdict | None:
    """In the same uninterruptible call each time: one look may meet a healthy read."""
    rounds = evidence.rounds
    held = tuple(
        sorted(
            rank
            for rank in evidence.last.processes
            if all(seen.processes[rank].state == "disk" for seen in rounds)
        )
    )
    if not held or len(rounds) < 2:
        return None
    process, site = evidence.last.processes[held[0]], site_of(evidence.last, held[0])
    in_call = f"{ranks_words(held)} in a system call that nothing interrupts {process.wchan}".rstrip()
    seen = [Seen("processes", in_call, held)]
    if site and site.kind in ("storage", "data"):
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


def _context(evidence: Evidence) -> list[Seen]:
    """What was seen besides: the vote of the stacks, RAS, places of the ranks, probes that say nothing."""
    seen, told = evidence.last, []
    if groups := stacks.vote(seen.stacks):
        sizes = "; ".join(f"{ranks_words(ranks)} at {_innermost(seen, ranks[0])}" for ranks in groups)
        told.append(Seen("stacks", f"{len(groups)} different: {sizes}"))
    for rank, stack in seen.stacks.items():
        if stack.silence and seen.processes[rank].alive:
            told.append(Seen("stacks", f"no stack of rank {rank}: {stack.silence}", (rank,)))
    pids = {rank: process.pid for rank, process in seen.processes.items()}
    for state, ranks in ras.ranks_of(evidence.ras, pids).items():
        told.append(Seen("ras", f"{state}: {ranks_words(ranks)}", ranks))
    if evidence.ras.absence:
        told.append(Seen("ras", evidence.ras.absence))
    spots: dict[str, list[int]] = {}
    for rank, place in seen.places.items():
        words = f"{place.phase} of step {place.step} ({place.state})" if place else "no event yet"
        spots.setdefault(words, []).append(rank)
    told += [Seen("events", f"{ranks_words(ranks)}: {words}", tuple(ranks)) for words, ranks in spots.items()]
    return told


def _innermost(seen: Round, rank: int) -> str:
    site = site_of(seen, rank)
    frames = seen.stacks[rank].threads[0].frames
    return str((site and site.frame) or (frames[0] if frames else "no Python frame"))


def _place(seen: Round, ranks: tuple[int, ...]) -> tuple[str, int]:
    """Phase and step of the ranks at fault, else of the first rank."""
    for rank in (*ranks, *seen.places):
        if place := seen.places.get(rank):
            return place.phase, place.step
    return "", -1
