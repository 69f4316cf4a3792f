"""How a rank says that it failed: on stderr for people, in `errors/` for the supervisor."""

import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, render

EXIT_INTERRUPTED = 130


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
    """Print the failure, record it if the run directory is known, and return the exit code."""
    if isinstance(error, FindingsError):
        exit_code, findings = error.exit_code, error.findings
        print("\n".join(render(f) for f in findings), file=sys.stderr, flush=True)
    elif isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    else:
        exit_code, findings = EXIT_RUN_FAILED, ()
        traceback.print_exception(error)
    if run_dir is not None:
        _record(error, run_dir, exit_code, findings)
    return exit_code


def _record(error: BaseException, run_dir: Path, exit_code: int, findings: tuple[Finding, ...]) -> None:
    rank = int(os.environ.get("RANK", "0"))
    record = RankError(
        rank=rank,
        t=time.time(),
        type=type(error).__name__,
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
        exit_code=exit_code,
        findings=findings,
    )
    _write(run_dir / "errors" / f"rank-{rank:05d}.json", record)


def _write(path: Path, record: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(record))
    except OSError as error:
        print(f"could not record the failure in {path}: {error}", file=sys.stderr)
