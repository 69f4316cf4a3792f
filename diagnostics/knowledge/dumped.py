"""What the verdict on a hang adds to a diagnosis: from flight-recorder dumps, or from a run of ours."""

from pathlib import Path

import msgspec

from diagnostics.health.hang.dump_analysis import analyse_dumps
from diagnostics.health.hang.dumps import is_dump
from diagnostics.health.hang.verdict import Verdict
from diagnostics.knowledge.diagnosis import UNKNOWN, Diagnosed, Diagnosis, Evidence
from diagnostics.knowledge.load import Knowledge
from diagnostics.knowledge.rundir import is_run
from diagnostics.knowledge.sources import Unreadable, files_in
from diagnostics.knowledge.watchdog import TIMEOUTS
from diagnostics.knowledge.wording import Lang, described

_CONFIDENCE = {"high": 0.9, "medium": 0.7, "low": 0.4}


def dumps_of(path: str) -> list[Path]:
    """Flight-recorder dumps that a PATH is or holds."""
    place = Path(path)
    if place.is_dir():
        return [file for file in files_in(place, []) if is_dump(file)]
    return [place] if place.is_file() and is_dump(place) else []


def with_dumps(diagnosis: Diagnosis, dumps: list[Path], known: Knowledge, lang: Lang) -> Diagnosis:
    """Add what dumps tell of a hang: first, unless the logs name a cause that is no timeout.

    Unreadable where there is nothing but dumps, and none of them can be read.
    """
    verdict = analyse_dumps(dumps)
    notes = [*diagnosis.notes]
    if verdict.kind in ("unknown", "no-hang", "outside"):  # nothing in flight shows no failure
        if not diagnosis.bytes and any(seen.ranks for seen in verdict.evidence):
            raise Unreadable(verdict.said)
        return msgspec.structs.replace(diagnosis, notes=(*notes, verdict.said), ranks=())
    place = str(dumps[0].parent) if len(dumps) > 1 else str(dumps[0])
    own = diagnosed(verdict, place, known, lang, by="flight-recorder")
    if own.cause == UNKNOWN and (diagnosis.findings or is_run(diagnosis.path)):
        return msgspec.structs.replace(diagnosis, ranks=verdict.ranks)
    told = [finding for finding in diagnosis.findings if finding.cause != own.cause]
    by_logs = bool(told) and told[0].cause not in {*TIMEOUTS, UNKNOWN}
    findings = (told[0], own, *told[1:]) if by_logs else (own, *told)
    return msgspec.structs.replace(diagnosis, findings=findings, ranks=verdict.ranks)


def diagnosed(verdict: Verdict, place: str, known: Knowledge, lang: Lang, *, by: str) -> Diagnosed:
    """A verdict as a cause. `place`: where its evidence is kept; `by`: who came to it."""
    words = described(verdict.cause, "hang", known, {}, set(), lang)
    return Diagnosed(
        cause=verdict.cause,
        group=known.groups.get(verdict.cause, UNKNOWN),
        title=words.title,
        meaning=" ".join(text for text in (verdict.said, verdict.disproof and _wrong(verdict, lang)) if text),
        evidence=tuple(
            Evidence(file=place, line=0, text=seen.text, rank=seen.ranks[0] if len(seen.ranks) == 1 else -1)
            for seen in verdict.evidence
        ),
        fixes=words.fixes,
        confidence=_CONFIDENCE[verdict.confidence],
        signature=f"{by}-{verdict.kind}",
    )


def _wrong(verdict: Verdict, lang: Lang) -> str:
    return f"{'以下情况可推翻此结论：' if lang == 'zh' else 'What would show it wrong: '}{verdict.disproof}"
