"""Where living ranks stand: what the flight recorders tell, with the stacks of the ranks that they name.

Confidence is high where a second probe (stacks, heartbeats, RAS) names the same ranks as the recorders.
"""

from collections.abc import Iterable

import msgspec

from diagnostics.health.hang import ras, stacks
from diagnostics.health.hang.call_sites import CallSite
from diagnostics.health.hang.dump_analysis import DESYNC, PROBE, STRAGGLER, judge
from diagnostics.health.hang.evidence import Evidence, Round
from diagnostics.health.hang.verdict import HangClass, Seen, Verdict
from diagnostics.health.hang.words import ranks_words

_WAITING_S = 2.0
"""A rank that has been in one collective for less does not count as waiting."""
_TASKS: dict[str, tuple[HangClass, str]] = {
    "reward": ("reward", "in a reward function"),
    "data": ("data", "reading or preparing data"),
    "engine": ("engine", "in the rollout engine"),
    "storage": ("storage", "reading or writing files"),
}
_OTHER: tuple[HangClass, str] = ("straggler", "not in the collective that the others wait in")


def standing(evidence: Evidence) -> Verdict:
    """The verdict on ranks that live and can run."""
    recorded = judge(evidence.last.dumps)
    absent = _absent_by_stacks(evidence.last)
    if recorded.kind == "desync":
        return _supported(recorded, _who_agrees(evidence, recorded.ranks))
    if recorded.ranks:
        return _kept_by(evidence, recorded)
    if absent:
        return _at_work(evidence, absent, [])
    return _all_alike(evidence, recorded)


def site_of(seen: Round, rank: int) -> CallSite | None:
    """What a rank is about, if it gave its stack."""
    return seen.stacks[rank].site() if rank in seen.stacks else None


def _kept_by(evidence: Evidence, recorded: Verdict) -> Verdict:
    """The recorders name ranks that are waited for: their stacks tell what they do instead."""
    ranks = recorded.ranks
    supports = _who_agrees(evidence, ranks)
    if _kinds(evidence.last, ranks) == {"collective"}:
        site = site_of(evidence.last, ranks[0])
        told = (
            f"{ranks_words(ranks).capitalize()} took another path, to {site and site.frame}: {recorded.said}"
        )
        return _supported(msgspec.structs.replace(recorded, kind="desync", cause=DESYNC, said=told), supports)
    return _supported(_at_work(evidence, ranks, list(recorded.evidence)), supports)


def _at_work(evidence: Evidence, ranks: tuple[int, ...], told: list[Seen]) -> Verdict:
    """Ranks that others wait for, classified by where they stand."""
    seen = evidence.last
    sites = {rank: site for rank in ranks if (site := site_of(seen, rank))}
    told += [Seen("stacks", f"rank {rank} stands at {site.frame}", (rank,)) for rank, site in sites.items()]
    for rank in sites:
        if seen.stacks[rank].asked and rank not in seen.dumps.dumps and seen.dumps.dumps:
            text = f"rank {rank} wrote its stacks and no dump: its interpreter does not run"
            told.append(Seen(PROBE, text, (rank,)))
    kinds = {site.kind for site in sites.values()}
    kind, doing = _TASKS.get(next(iter(kinds)), _OTHER) if len(kinds) == 1 else _OTHER
    where = next((str(site.frame) for site in sites.values() if site.frame), "")
    silence = next((seen.stacks[r].silence for r in ranks if r in seen.stacks and r not in sites), "")
    at = f", at {where}" if where else f" ({silence})" if silence else ""
    moves = "; its stack moves: it is slow, or tries again and again" if _moves(evidence, ranks) else ""
    be = "is" if len(ranks) == 1 else "are"
    return Verdict(
        kind=kind,
        ranks=ranks,
        cause=STRAGGLER,
        said=f"{ranks_words(ranks).capitalize()} {be} {doing}{at}, and the others wait{moves}.",
        where=where,
        evidence=tuple(told),
        confidence="medium",
        disproof=f"A later stack in which {ranks_words(ranks)} {be} elsewhere.",
    )


def _all_alike(evidence: Evidence, recorded: Verdict) -> Verdict:
    """No rank is named: all do the same, or nothing is known."""
    ranks = tuple(sorted(evidence.last.stacks))
    kinds = _kinds(evidence.last, ranks)
    if len(kinds) == 1 and (kind := next(iter(kinds))) in _TASKS:
        hang, doing = _TASKS[kind]
        verdict = _at_work(evidence, ranks, [])
        said = f"All ranks are {doing}, at {verdict.where}; no collective is unfinished."
        verdict = msgspec.structs.replace(verdict, kind=hang, ranks=(), said=said, cause="unknown")
        if _moves(evidence, ranks):
            said += " Their stacks move: this is slow rather than stuck."
            return msgspec.structs.replace(verdict, said=said, confidence="low")
        return _supported(verdict, list(recorded.evidence) if recorded.kind == "outside" else [])
    if not kinds or not kinds <= {"collective", "device"}:
        return recorded
    if recorded.kind in ("network", "first-collective"):
        return _supported(recorded, [Seen("stacks", "every rank stands in a collective", ranks)])
    said = "All ranks stand in a collective, and no flight recorder tells who is missing from it."
    return msgspec.structs.replace(recorded, kind="network", cause=STRAGGLER, said=said, confidence="low")


# --- what the probes tell ---------------------------------------------------------------------------------


def _who_agrees(evidence: Evidence, ranks: tuple[int, ...]) -> list[Seen]:
    """Other probes that name just these ranks."""
    seen = evidence.last
    sides = stacks.vote(seen.stacks)
    odd = tuple(sorted(rank for side in sides[1:] for rank in side))
    by_ras = ras.ranks_of(evidence.ras, {rank: process.pid for rank, process in seen.processes.items()})
    named = (
        ("stacks", _absent_by_stacks(seen), "not in a collective, the others are"),
        ("stacks", odd, f"elsewhere than the {len(sides[0]) if sides else 0} others"),
        ("events", _behind_by_events(seen), "not in the collective that others have entered"),
        *(("ras", blamed, state) for state, blamed in by_ras.items()),
    )
    agreeing = [Seen(probe, f"{ranks_words(r)} {text}", r) for probe, r, text in named if r == ranks]
    return agreeing[:1] + [one for one in agreeing[1:] if one.probe != agreeing[0].probe]


def _absent_by_stacks(seen: Round) -> tuple[int, ...]:
    """Ranks outside of collectives while others are in one; else those without a stack."""
    kinds = {rank: site.kind for rank in seen.stacks if (site := site_of(seen, rank))}
    inside = [rank for rank, kind in kinds.items() if kind in ("collective", "device")]
    if not inside:
        return ()
    outside = [rank for rank in kinds if rank not in inside]
    return tuple(sorted(outside or (rank for rank in seen.stacks if rank not in kinds)))


def _behind_by_events(seen: Round) -> tuple[int, ...]:
    """Ranks whose heartbeats show them short of the engine's collective that others have entered."""
    beats = {rank: place.heartbeat for rank, place in seen.places.items() if place and place.heartbeat}
    waiting = [beat for beat in beats.values() if (beat.waiting or 0.0) >= _WAITING_S]
    if not waiting:
        return ()
    ahead = max(waiting, key=lambda beat: beat.seq)
    return tuple(sorted(r for r, b in beats.items() if b.group == ahead.group and b.seq < ahead.seq))


def _kinds(seen: Round, ranks: Iterable[int]) -> set[str]:
    return {site.kind for rank in ranks if (site := site_of(seen, rank))}


def _moves(evidence: Evidence, ranks: Iterable[int]) -> bool:
    """Whether the own frames of one of the ranks changed between rounds."""
    return any(
        len({seen.stacks[rank].own_frames() for seen in evidence.rounds if rank in seen.stacks}) > 1
        for rank in ranks
    )


def _supported(verdict: Verdict, supports: list[Seen]) -> Verdict:
    """High confidence where a second probe supports a verdict."""
    if not supports:
        return verdict
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, *supports), confidence="high")
