"""How a rank says that it failed: on stderr for people, in `errors/` for the supervisor."""

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from engine.findings import EXIT_INTERRUPTED, EXIT_RUN_FAILED, Finding, FindingsError, render


class RankError(msgspec.Struct, frozen=True):
    """`errors/rank-00000.json`: why a rank ended."""

    rank: int
    t: float
    type: str
    message: str
    traceback: str
    exit_code: int
    findings: tuple[Finding, ...] = ()


def report(error: BaseException, run_dir: Path | None) -> int:
    """Record the failure if the run directory is known, print it, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    findings = error.findings if isinstance(error, FindingsError) else ()
    exit_code = error.exit_code if isinstance(error, FindingsError) else EXIT_RUN_FAILED
    if run_dir is not None:
        _record(error, run_dir, exit_code, findings)
    with contextlib.suppress(OSError):  # standard error may be a log on a full disk
        print("\n".join(map(render, findings)) or _trace(error), file=sys.stderr, flush=True)
    return exit_code


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _record(error: BaseException, run_dir: Path, exit_code: int, findings: tuple[Finding, ...]) -> None:
    rank = int(os.environ.get("RANK", "0"))
    record = RankError(
        rank=rank,
        t=time.time(),
        type=type(error).__name__,
        message=str(error),
        traceback=_trace(error),
        exit_code=exit_code,
        findings=findings,
    )
    _write(run_dir / "errors" / f"rank-{rank:05d}.json", record)


def _write(path: Path, record: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(record))
    except OSError as error:
        with contextlib.suppress(OSError):
            print(f"could not record the failure in {path}: {error}", file=sys.stderr)
