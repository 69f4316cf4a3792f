"""`run.json`: what is known about a run besides its events. Written by launch, supervisor and resume only."""

import os
import socket
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.findings import Finding, FindingsError, Fix

RunStatus = Literal["planned", "launching", "running", "finished", "stopped", "failed", "lost"]
ACTIVE: tuple[str, ...] = ("planned", "launching", "running")
"""States in which a process answers for the run: `rft` itself while it is planned, then the supervisor."""

STALLED_MIN_S = 60.0
LOST_AFTER_S = 600.0
_START_TOLERANCE_S = 0.05


class Exit(msgspec.Struct, omit_defaults=True):
    """Why a run ended: one sentence, and per rank (`"0"`) what its process said or was killed by."""

    cause: str
    ranks: dict[str, str] = {}


class RunInfo(msgspec.Struct, kw_only=True):
    """Content of `run.json`. Times are Unix seconds; no secrets, so `command` holds no environment.

    `supervisor_started` is when the supervisor's process began, in seconds after the machine's boot, which
    tells it from a later process with the same pid. `attempt` is 1 plus the number of resumes. `steps` is the
    last finished step.
    """

    name: str
    status: RunStatus
    created: float
    preset: str = ""
    nproc: int = 1
    command: list[str] = []
    cwd: str = ""
    """Where it was launched: relative paths of its configuration start there."""
    host: str = msgspec.field(default_factory=socket.gethostname)
    started: float | None = None
    ended: float | None = None
    supervisor_pid: int | None = None
    supervisor_started: float | None = None
    launcher_pid: int | None = None
    attempt: int = 1
    exit: Exit | None = None
    steps: int = 0
    total_steps: int | None = None
    warnings: list[Finding] = []
    versions: dict[str, str] = {}
    git: dict[str, Any] = {}


def read(path: Path) -> RunInfo:
    """Decode `run.json`; a missing or damaged file is a finding (exit code 2)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunInfo)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise FindingsError(
            [
                Finding(
                    id="run.info-unreadable",
                    severity="error",
                    cause=f"{path} cannot be read as a run: {_one_line(error)}.",
                    fixes=(
                        Fix("restore run.json from a copy, or read logs/ and events/ beside it directly"),
                        Fix(f"delete the folder {path.parent} if the run is of no use"),
                    ),
                )
            ]
        ) from error


def write(path: Path, info: RunInfo) -> None:
    """Replace `run.json` in one step: a reader sees the old or the new content, never a part."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")


def write_atomic(path: Path, content: bytes) -> None:
    """Write aside, then rename over `path`; on failure `path` is untouched and nothing is left aside."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def effective_status(
    info: RunInfo,
    *,
    heartbeat_age: float | None = None,
    progress_age: float | None = None,
    usual_step: float = 0.0,
) -> str:
    """The status as it really is: `info.status`, or "lost", or "stalled".

    Lost: the run should be alive but its supervisor is gone; or, where the pid cannot be checked (another
    host), no event for 10 minutes. Stalled: nothing began or ended for max(60 s, 3 × `usual_step`), the time
    a step of this run takes. Ages in seconds; None when nothing was seen yet.
    """
    if info.status not in ACTIVE:
        return info.status
    alive = supervisor_alive(info)
    if alive is False or (alive is None and heartbeat_age is not None and heartbeat_age > LOST_AFTER_S):
        return "lost"
    if info.status != "running" or progress_age is None:
        return info.status
    return "stalled" if progress_age > max(STALLED_MIN_S, 3 * usual_step) else info.status


def answer_for(info: RunInfo) -> None:
    """Name this process as the one that answers for the run."""
    info.host = socket.gethostname()
    info.supervisor_pid, info.supervisor_started = os.getpid(), started_after_boot(os.getpid())


def started_after_boot(pid: int) -> float:
    """When a process began, in seconds after boot: unlike a time of day, not moved when the clock is set."""
    import psutil

    return psutil.Process(pid).create_time() - psutil.boot_time()


def supervisor_alive(info: RunInfo) -> bool | None:
    """Whether the supervisor named in `info` still runs; None when that cannot be told from here."""
    if info.supervisor_pid is None or info.host != socket.gethostname():
        return None
    import psutil

    try:
        if psutil.Process(info.supervisor_pid).status() == psutil.STATUS_ZOMBIE:
            return False
        started = started_after_boot(info.supervisor_pid)
    except psutil.NoSuchProcess:
        return False
    return info.supervisor_started is None or abs(started - info.supervisor_started) < _START_TOLERANCE_S


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).splitlines()[0]
