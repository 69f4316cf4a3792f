"""A run directory as a source of logs: what its ranks printed, and what each wrote about its own end."""

import contextlib
import io
from pathlib import Path

import msgspec

from diagnostics.knowledge import sources
from diagnostics.knowledge.diagnosis import UNKNOWN, Diagnosed
from diagnostics.knowledge.sources import Source
from engine.failure import RankError


def is_run(path: str) -> bool:
    """Whether a PATH is a run directory."""
    return (Path(path) / "run.json").is_file()


def sources_of(path: str) -> tuple[list[Source], list[str], list[RankError]]:
    """Sources of a PATH, notes, and the errors of ranks, the earliest first, if it is a run directory."""
    folder = Path(path)
    if not is_run(path):
        found, notes = sources.of_path(path)
        return found, notes, []
    notes = []
    errors = _errors(folder, notes)
    times = {error.rank: error.t for error in errors}
    logs, more = sources.of_path(str(folder / "logs")) if (folder / "logs").is_dir() else ([], [])
    for log in logs:
        log.t = times.get(log.rank)
    told = [_source(folder, error) for error in errors if error.traceback.strip()]
    return [*told, *logs], [*notes, *more], errors


def ended_well(path: str) -> str:
    """The status of a run that did not fail; empty for others, and for what is no run."""
    with contextlib.suppress(OSError, ValueError):
        status = str(msgspec.json.decode((Path(path) / "run.json").read_bytes(), type=_Run).status)
        return status if status in ("finished", "stopped") else ""
    return ""


class _Run(msgspec.Struct):
    """What is read of `run.json`, of any version."""

    status: str = ""


def _errors(folder: Path, notes: list[str]) -> list[RankError]:
    errors = []
    for file in sorted((folder / "errors").glob("rank-*.json")):
        try:
            errors.append(msgspec.json.decode(file.read_bytes(), type=RankError))
        except (OSError, ValueError) as error:
            notes.append(f"{file} could not be read: {error}")
    return sorted(errors, key=lambda error: error.t)


def _source(folder: Path, error: RankError) -> Source:
    text = error.traceback.encode()
    name = str(folder / "errors" / f"rank-{error.rank:05d}.json")
    return Source(name, lambda: io.BytesIO(text), error.rank, error.t)


def with_own_findings(findings: tuple[Diagnosed, ...], errors: list[RankError]) -> tuple[Diagnosed, ...]:
    """Where nothing else is known, what our own engine said when it refused to go on."""
    first = next((error for error in errors if error.findings), None)
    if first is None or not findings or findings[0].cause != UNKNOWN:
        return findings
    said = first.findings[0]
    own = msgspec.structs.replace(
        findings[0], title=said.cause, meaning="", fixes=said.fixes, confidence=0.9, signature=said.id
    )
    return (own, *findings[1:])
