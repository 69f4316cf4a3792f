"""Diagnosis of a PATH: a log, a folder of logs or flight-recorder dumps, a run directory, standard input."""

import functools
from pathlib import Path

from diagnostics.knowledge import decide as deciding
from diagnostics.knowledge import dumped, rundir, sources
from diagnostics.knowledge.builtin import PROBES
from diagnostics.knowledge.diagnosis import UNKNOWN, Diagnosed, Diagnosis, Evidence
from diagnostics.knowledge.incidents import Log
from diagnostics.knowledge.load import Knowledge, knowledge
from diagnostics.knowledge.matcher import Probe, context_probe, signature_probe
from diagnostics.knowledge.scan import Hit, Scanner
from diagnostics.knowledge.wording import Lang, described
from diagnostics.redact import without_keys

_EVIDENCE, _RULED_OUT = 5, 8
_QUOTE = 400


def diagnose(path: str, lang: Lang = "en", known: Knowledge | None = None) -> Diagnosis:
    """What failed there; `findings` is empty where nothing did.

    sources.Unreadable when the path does not exist or nothing in it could be read.
    """
    known = known or knowledge()
    dumps = dumped.dumps_of(path)
    diagnosis = _of_logs(path, set(dumps), lang, known)
    return dumped.with_dumps(diagnosis, dumps, known, lang) if dumps else diagnosis


def _of_logs(path: str, dumps: set[Path], lang: Lang, known: Knowledge) -> Diagnosis:
    found, notes, errors = rundir.sources_of(path)
    found = [source for source in found if Path(source.name) not in dumps]
    scanner = _scanner() if known is knowledge() else Scanner(probes(known))
    scanned = [scanner.scan(source, index) for index, source in enumerate(found)]
    notes += [part.note for part in scanned if part.note]
    if not dumps and not any(part.bytes or not part.note for part in scanned):
        raise sources.Unreadable("; ".join(notes) or f"{path} holds no log")
    if scanned and not any(part.bytes for part in scanned):
        notes.append(f"{path} is empty: nothing was written before it failed, or another file holds the log")
    log = Log(scanned, [source.t for source in found])
    verdicts = deciding.decide(log)
    if verdicts and (status := rundir.ended_well(path)):
        notes.append(f"the run is {status}: what its logs tell of failures, it survived")
        verdicts = []
    findings = tuple(_diagnosed(verdict, log, known, lang) for verdict in verdicts)
    return Diagnosis(
        path=path,
        findings=rundir.with_own_findings(findings, errors),
        notes=tuple(notes),
        lines=sum(part.lines for part in scanned),
        bytes=sum(part.bytes for part in scanned),
    )


@functools.cache
def _scanner() -> Scanner:
    return Scanner(probes(knowledge()))


def probes(known: Knowledge) -> list[Probe]:
    """All that is looked for."""
    contexts = {
        nearby.pattern: context_probe(nearby)
        for signature in known.signatures
        for nearby in signature.nearby
        if nearby.where in ("process", "log")
    }
    return [*map(signature_probe, known.signatures), *contexts.values(), *PROBES]


def _diagnosed(verdict: deciding.Verdict, log: Log, known: Knowledge, lang: Lang) -> Diagnosed:
    numbers: dict[str, str] = {}
    for incident in verdict.incidents:
        numbers = {**incident.numbers, **numbers}
    ids = {incident.signature.id for incident in verdict.incidents if incident.signature}
    words = described(verdict.cause, verdict.about, known, numbers, ids, lang)
    best = verdict.incidents[0]
    hits = {(i.hit.source, i.line.number): i.hit for i in verdict.incidents}
    return Diagnosed(
        cause=verdict.cause,
        group=known.groups.get(verdict.cause, UNKNOWN),
        title=words.title,
        meaning=words.meaning,
        evidence=tuple(_evidence(hit, log) for hit in list(hits.values())[:_EVIDENCE]),
        fixes=words.fixes,
        confidence=verdict.confidence,
        ruled_out=tuple(_evidence(hit, log) for hit in verdict.ruled_out[:_RULED_OUT]),
        signature=best.signature.id if best.signature else "",
        numbers=numbers,
    )


def _evidence(hit: Hit, log: Log) -> Evidence:
    text = without_keys(hit.line.text.strip())
    if len(text) > _QUOTE:
        start = max(0, min(text.find(hit.match[0][:80]) - 40, len(text) - _QUOTE))
        text = ("…" if start else "") + text[start : start + _QUOTE] + "…"
    return Evidence(
        file=log.sources[hit.source].name,
        line=hit.line.number,
        text=text,
        rank=hit.line.rank,
        t=log.time(hit),
    )
