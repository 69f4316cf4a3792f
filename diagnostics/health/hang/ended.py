"""Ranks that have ended while others wait, or all of them one after the other."""

import msgspec

from diagnostics.health.hang.dump_analysis import judge
from diagnostics.health.hang.evidence import Evidence
from diagnostics.health.hang.failures import Failure
from diagnostics.health.hang.verdict import Seen, Verdict
from diagnostics.health.hang.words import ranks_words


def ended(evidence: Evidence) -> Verdict | None:
    """The verdict where a rank has ended; None where none has."""
    processes = evidence.last.processes
    gone = tuple(sorted(rank for rank, process in processes.items() if process.state == "ended"))
    failure = evidence.failure
    if failure is None and gone and len(gone) == len(processes):
        said = f"All {len(gone)} ranks have ended, and none tells of an error: nothing waits."
        seen = (Seen("processes", "no process of any rank", gone),)
        return Verdict(kind="unknown", ranks=(), cause="unknown", said=said, evidence=seen)
    if failure is None:
        return _without_a_word(gone, None, False) if gone else None
    if failure.about_peer:
        return _lost_peer(evidence, failure, gone)
    told = [_told(failure)]
    if gone:
        told.append(Seen("processes", f"no process of {ranks_words(gone)}", gone))
    said = f"Rank {failure.rank} {failure.said}"
    if failure.exit_code == -9 and evidence.oom_kills:
        said += f"; meanwhile the kernel ended {evidence.oom_kills} processes of this container for memory"
        verdict = _dead((failure.rank,), f"{said}.", told, sure=True)
        return msgspec.structs.replace(verdict, kind="host-oom", cause="host-oom-killed")
    return _dead((failure.rank,), f"{said}.", told, sure=failure.rank in gone)


def _lost_peer(evidence: Evidence, failure: Failure, gone: tuple[int, ...]) -> Verdict:
    """Ranks only complain of others: who went without a word, or what the dumps that they left tell."""
    recorded = judge(evidence.last.dumps)
    silent = tuple(rank for rank in gone if rank not in failure.explained)
    if recorded.kind == "desync" or (recorded.ranks and not silent):
        return msgspec.structs.replace(recorded, evidence=(*recorded.evidence, _told(failure)))
    if silent:
        return _without_a_word(silent, failure, recorded.ranks == silent)
    return _dead((failure.rank,), f"Rank {failure.rank} {failure.said}.", [_told(failure)], sure=False)


def _without_a_word(ranks: tuple[int, ...], complaint: Failure | None, sure: bool) -> Verdict:
    told = [Seen("processes", f"no process of {ranks_words(ranks)}", ranks)]
    others = "the others wait for it"
    if complaint:
        others = f"rank {complaint.rank} {complaint.said}"
        told.append(_told(complaint))
    said = f"The process of {ranks_words(ranks)} went without a word; {others}."
    return _dead(ranks, said, told, sure=sure)


def _dead(ranks: tuple[int, ...], said: str, told: list[Seen], *, sure: bool) -> Verdict:
    return Verdict(
        kind="dead-process",
        ranks=ranks,
        cause="worker-died-unknown",
        said=said,
        evidence=tuple(told),
        confidence="high" if sure else "medium",
        disproof=f"A living process of {ranks_words(ranks)}.",
    )


def _told(failure: Failure) -> Seen:
    return Seen(failure.probe, f"rank {failure.rank} {failure.said}", (failure.rank,))
