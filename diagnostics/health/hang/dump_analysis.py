"""Who keeps whom waiting, from flight-recorder dumps of any trainer.

The order of evidence: ranks that do different things under one number; ranks that others wait for, among them
those without a dump or an entry; all in the same collective; nothing in flight.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from diagnostics.health.hang import desync
from diagnostics.health.hang.dumps import Dump, Dumps, Entry, dump_files, rank_of, read_all
from diagnostics.health.hang.verdict import Seen, Verdict
from diagnostics.health.hang.waiting import Wait, circle, keepers, waits
from diagnostics.health.hang.words import listed, ranks_words

PROBE = "flight recorder"
JUST_NOW_S = 3.0
"""A collective that was entered this short before the dump is on its way, and no sign of a hang."""
STRAGGLER, DESYNC, FIRST = "nccl-timeout-straggler", "nccl-timeout-desync", "nccl-first-collective-hang"


def analyse_dumps(paths: Iterable[Path]) -> Verdict:
    """The verdict on dump files, or folders of them. Nothing in them is executed."""
    files: dict[int, Path] = {}
    strange = []
    for path in paths:
        if path.is_dir():
            files.update(dump_files(path))
        elif (rank := rank_of(path)) is not None:
            files[rank] = path
        else:
            strange.append(f"{path.name}: the name does not end with a rank")
    verdict = judge(read_all(sorted(files.items())))
    return _with(verdict, [Seen(PROBE, text) for text in strange])


def judge(read: Dumps) -> Verdict:
    """The verdict on dumps that were read."""
    notes = [Seen(PROBE, f"rank {rank}: {text}", (rank,)) for rank, text in sorted(read.problems.items())]
    if not read.dumps:
        why = "; ".join(note.text for note in notes)
        said = "There is no readable flight-recorder dump" + (f": {why}." if why else ".")
        return Verdict(kind="unknown", ranks=(), cause="unknown", said=said, evidence=tuple(notes))
    silent = _silent(read)
    found = waits(read.dumps, silent)
    if not found or _is_fresh(read.dumps, found):
        return _with(_nothing_in_flight(read.dumps, found), notes)
    parted = desync.find(read.dumps)
    if parted:
        return _with(_desync(parted), notes)
    kept_by = keepers(found) or tuple(sorted(silent - _never_recorded(read)))
    if kept_by:
        return _with(_straggler(read, kept_by, found), notes)
    around = circle(found)
    if around:
        return _with(_circle(around, found), notes)
    return _with(_same_place(read.dumps, found), notes)


def _silent(read: Dumps) -> frozenset[int]:
    """Ranks that have no dump, or none that could be read, or one without entries."""
    told = {rank for dump in read.dumps.values() for ranks in dump.groups.values() for rank in ranks}
    highest = max([*read.dumps, *read.problems])
    world = told | set(range(highest + 1))
    without = {rank for rank, dump in read.dumps.items() if not dump.entries}
    missing = world - set(read.dumps)
    if 2 * len(missing) > len(world):  # then files of whole machines were not collected
        missing = set()
    return frozenset(missing | without)


def _never_recorded(read: Dumps) -> set[int]:
    """Ranks that took part in nothing, ever: no members of these groups."""
    return {rank for rank, dump in read.dumps.items() if not dump.entries and not dump.ever_enqueued}


def _is_fresh(dumps: dict[int, Dump], found: list[Wait]) -> bool:
    """Whether all that is in flight was entered just before the dump was written: the run goes on."""
    ages = [dumps[wait.rank].written - wait.entry.time_created_ns / 1e9 for wait in found]
    return all(0 <= age < JUST_NOW_S for age in ages)


def _nothing_in_flight(dumps: dict[int, Dump], found: list[Wait]) -> Verdict:
    if found:
        said = (
            f"No hang is seen: what is in flight was entered less than {JUST_NOW_S:g} s before the dumps "
            "were written."
        )
        return Verdict(kind="no-hang", ranks=(), cause="unknown", said=said)
    last = max(dumps.values(), key=lambda dump: len(dump.entries))
    ended = f"; the last was {named(last.entries[-1])}" if last.entries else ""
    return Verdict(
        kind="outside",
        ranks=(),
        cause="unknown",
        said=f"Every collective that {ranks_words(sorted(dumps))} recorded is over{ended}: if the job "
        "hangs, it hangs outside of collectives.",
        evidence=(Seen(PROBE, f"no unfinished entry in {len(dumps)} dumps"),),
        confidence="low",
        disproof="A stack that stands in a collective.",
    )


def _straggler(read: Dumps, ranks: tuple[int, ...], found: list[Wait]) -> Verdict:
    kept = [wait for wait in found if set(ranks) & set(wait.missing)]
    first = _first(kept or found)
    in_it = _ranks(wait for wait in kept or found if wait.entry.group == first.entry.group)
    others = tuple(rank for rank in _ranks(kept) if rank not in in_it)
    evidence = [Seen(PROBE, _lack(read.dumps.get(rank), kept, rank), (rank,)) for rank in ranks]
    evidence.append(Seen(PROBE, f"{ranks_words(in_it)} in it: {named(first.entry)}", in_it))
    if others:
        evidence.append(Seen(PROBE, f"{ranks_words(others)} waiting for the same in other groups", others))
    be = "is" if len(ranks) == 1 else "are"
    unread = any(rank in read.problems for rank in ranks)
    return Verdict(
        kind="straggler",
        ranks=ranks,
        cause=STRAGGLER,
        said=f"{ranks_words(ranks).capitalize()} {be} waited for: {ranks_words(in_it)} "
        f"{'waits' if len(in_it) == 1 else 'wait'} in {named(first.entry)}.",
        where=_place(first.entry),
        evidence=tuple(evidence),
        confidence="low" if unread else "medium",
        disproof=f"A stack in which {ranks_words(ranks)} {be} in the same collective as the others.",
    )


def _ranks(found: Iterable[Wait]) -> tuple[int, ...]:
    return tuple(sorted({wait.rank for wait in found}))


def _lack(dump: Dump | None, kept: list[Wait], rank: int) -> str:
    if dump is None:
        return f"rank {rank} left no dump"
    if not dump.entries:
        return f"rank {rank} has no unfinished collective in its dump, and others have"
    groups = {wait.entry.group: wait.entry for wait in kept if rank in wait.missing and not wait.entry.is_p2p}
    behind = []
    for name, entry in groups.items():
        last = max((e.collective_seq_id for e in dump.entries if e.group == name), default=None)
        came = f"last came to {last}" if last is not None else "has none"
        behind.append(f"{came} of group {_group(entry)}, where others are at {entry.collective_seq_id}")
    return f"rank {rank} " + ("; ".join(behind) or "has not met its peers' sends and receives")


def _desync(parted: desync.Desync) -> Verdict:
    told = []
    for ranks, entry in parted.sides():
        told.append(Seen(PROBE, f"{ranks_words(ranks)}: {_what(entry)}{_at(entry)}", ranks))
    said = "; ".join(seen.text for seen in told)
    return Verdict(
        kind="desync",
        ranks=parted.odd,
        cause=DESYNC,
        said=f"Ranks differ in the {parted.what} of collective {parted.seq} of group "
        f"{parted.desc or parted.group}: {said}.",
        where="; ".join(filter(None, (entry.call_site() for _, entry in parted.sides()))),
        evidence=tuple(told),
        confidence="medium",
        disproof="A run in which all ranks record the same operation, size and type under this number.",
    )


def _circle(ranks: tuple[int, ...], found: list[Wait]) -> Verdict:
    inside = [_first([w for w in found if w.rank == rank and w.missing]) for rank in ranks]
    told = [
        Seen(PROBE, f"rank {w.rank} waits for {listed(w.missing)} in {named(w.entry)}", (w.rank,))
        for w in inside
    ]
    return Verdict(
        kind="desync",
        ranks=ranks,
        cause=DESYNC,
        said=f"{ranks_words(ranks).capitalize()} wait for each other in different collectives.",
        where="; ".join(filter(None, (wait.entry.call_site() for wait in inside))),
        evidence=tuple(told),
        confidence="medium",
        disproof="Dumps taken at one moment in which these ranks are in the same collective.",
    )


def _same_place(dumps: dict[int, Dump], found: list[Wait]) -> Verdict:
    first = _first(found)
    ranks = _ranks(found)
    anything_done = any(entry.done for dump in dumps.values() for entry in dump.entries)
    is_first = first.entry.collective_seq_id <= 1 and not anything_done
    started = "started" if first.entry.started else "issued, and not seen to start"
    words = "the very first collective never completes" if is_first else "nobody is behind"
    return Verdict(
        kind="first-collective" if is_first else "network",
        ranks=(),
        cause=FIRST if is_first else STRAGGLER,
        said=f"{ranks_words(ranks).capitalize()} are in the same collective, {named(first.entry)}, which all "
        f"have {started}: {words}, so the link between them or a device is at fault.",
        where=_place(first.entry),
        evidence=(Seen(PROBE, f"{named(first.entry)} is unfinished on every rank that recorded", ranks),),
        confidence="low",
        disproof="A rank without a dump that belongs to this group, or one whose stack is elsewhere.",
    )


def _first(found: list[Wait]) -> Wait:
    """The wait that began first on its rank, those for missing ranks before others."""
    return min(found, key=lambda wait: (not wait.missing, wait.entry.is_p2p, wait.entry.time_created_ns))


def _group(entry: Entry) -> str:
    name, desc = entry.process_group
    return f"{desc} ({name})" if desc and desc != name else name


def _what(entry: Entry) -> str:
    sizes = " ".join("×".join(map(str, size)) or "scalar" for size in entry.input_sizes)
    types = " ".join(dict.fromkeys(entry.input_dtypes))
    return " ".join(filter(None, (entry.op, f"of {sizes}" if sizes else "", types)))


def _at(entry: Entry) -> str:
    site = entry.call_site()
    return f" at {site}" if site else ""


def named(entry: Entry) -> str:
    """A collective as part of a sentence: what, which number of which group, called where."""
    number = entry.p2p_seq_id if entry.is_p2p else entry.collective_seq_id
    return f"{_what(entry)}, number {number} of group {_group(entry)}{_at(entry)}"


def _place(entry: Entry) -> str:
    return entry.call_site() or f"{entry.op} in group {_group(entry)}"


def _with(verdict: Verdict, notes: list[Seen]) -> Verdict:
    return msgspec.structs.replace(verdict, evidence=(*verdict.evidence, *notes))
