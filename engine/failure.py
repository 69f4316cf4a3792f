"""How a rank says that it failed: on stderr for people, in `errors/` for the supervisor."""

import contextlib
import os
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from engine.findings import EXIT_INTERRUPTED, EXIT_RUN_FAILED, Finding, FindingsError, render
from engine.health import flight_recorder, peers

_PEER_FINDINGS = ("parallel.rank-missing", "parallel.group-wrong")
_PEER_ERRORS = ("CollectiveError", "DistBackendError", "DistNetworkError", "DistStoreError")
_PEER_LOST = re.compile(
    r"connection (?:closed|reset|refused)|broken pipe|socket|nccl|gloo|timed out|remote process|store", re.I
)


class RankError(msgspec.Struct, frozen=True):
    """`errors/rank-00000.json`: why a rank ended. `message` may begin with where the other ranks were."""

    rank: int
    t: float
    type: str
    message: str
    traceback: str
    exit_code: int
    findings: tuple[Finding, ...] = ()


def report(error: BaseException, run_dir: Path | None) -> int:
    """Record the failure if the run directory is known, print it, and return the exit code.

    What the flight recorder holds is written too. An error about a peer tells where the other ranks were.
    """
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    findings = error.findings if isinstance(error, FindingsError) else ()
    exit_code = error.exit_code if isinstance(error, FindingsError) else EXIT_RUN_FAILED
    if run_dir is not None:
        _record(error, run_dir, exit_code, findings)
        flight_recorder.dump(run_dir, _rank())
    with contextlib.suppress(OSError):  # standard error may be a log on a full disk
        print("\n".join(map(render, findings)) or _trace(error), file=sys.stderr, flush=True)
    return exit_code


def read_errors(run_dir: Path) -> list[RankError]:
    """What failing ranks of a run's present attempt wrote, the earliest first; a torn file counts as none."""
    errors = []
    for file in (run_dir / "errors").glob("rank-*.json"):
        with contextlib.suppress(OSError, ValueError):  # torn by a kill or a full disk
            errors.append(msgspec.json.decode(file.read_bytes(), type=RankError))
    return sorted(errors, key=lambda error: error.t)


def about_a_peer(type: str, message: str, findings: tuple[Finding, ...] = ()) -> bool:
    """Whether an error of this type and message tells of another rank that is lost or does not come."""
    if findings:
        return all(finding.id in _PEER_FINDINGS for finding in findings)
    if type in _PEER_ERRORS:
        return True
    return type in ("RuntimeError", "ConnectionError") and bool(_PEER_LOST.search(message))


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _message(error: BaseException, run_dir: Path, findings: tuple[Finding, ...]) -> str:
    message, kind = str(error), type(error).__name__
    if findings or not about_a_peer(kind, message):
        return message
    told = peers.elsewhere(run_dir, _rank(), int(os.environ.get("WORLD_SIZE", "1")))
    places = "; ".join(f"rank {rank} {place}" for rank, place in told.items())
    return f"{places}: {message}" if places else message


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _record(error: BaseException, run_dir: Path, exit_code: int, findings: tuple[Finding, ...]) -> None:
    rank = _rank()
    record = RankError(
        rank=rank,
        t=time.time(),
        type=type(error).__name__,
        message=_message(error, run_dir, findings),
        traceback=_trace(error),
        exit_code=exit_code,
        findings=findings,
    )
    _write(run_dir / "errors" / f"rank-{rank:05d}.json", record)


def _write(path: Path, record: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")  # torchrun may end this rank before the last byte
        part.write_bytes(msgspec.json.encode(record))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"could not record the failure in {path}: {error}", file=sys.stderr)
