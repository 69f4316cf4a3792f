"""Which rank of the present attempt failed first, as the ranks and torchrun wrote it."""

import contextlib
import re
import signal
from pathlib import Path

import msgspec

from engine.failure import RankError, about_a_peer

_FAILED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+) \(pid: (\d+)\)")
_TAIL_BYTES = 1 << 16


class Failure(msgspec.Struct, frozen=True):
    """A rank that ended: `said` as part of a sentence; `exit_code` is negative for a signal."""

    rank: int
    said: str
    exit_code: int
    probe: str
    about_peer: bool = False
    """Whether it is an exception about another rank that is lost or does not come."""


def first_failure(run_dir: Path) -> Failure | None:
    """The failure that others follow from: a rank's own exception, else the first exit that torchrun saw.

    An exception about a lost peer counts only where there is nothing else.
    """
    errors = _errors(run_dir / "errors")
    own = [error for error in errors if not about_a_peer(error.type, error.message, error.findings)]
    if own:
        return _of_error(own[0])
    exited = _first_exit(run_dir / "logs" / "launcher.log")
    if exited and exited.rank not in {error.rank for error in errors}:  # killed: it could not tell why
        return exited
    if errors:
        return msgspec.structs.replace(_of_error(errors[0]), about_peer=True)
    return exited


def _errors(folder: Path) -> list[RankError]:
    """The earliest first."""
    found = []
    for file in folder.glob("rank-*.json"):
        with contextlib.suppress(OSError, ValueError):  # torn by a kill or a full disk
            found.append(msgspec.json.decode(file.read_bytes(), type=RankError))
    return sorted(found, key=lambda error: error.t)


def _of_error(error: RankError) -> Failure:
    message = (error.findings[0].cause if error.findings else error.message).splitlines()
    said = f"raised {error.type}" + (f": {message[0][:300]}" if message else "")
    return Failure(error.rank, said, error.exit_code, "errors")


def _first_exit(log: Path) -> Failure | None:
    """What torchrun says of the process that failed first: its last such line is of the present attempt."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    lines = _FAILED.findall(text)
    if not lines:
        return None
    code, rank, pid = (int(number) for number in lines[-1])
    how = f"was ended by signal {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
    return Failure(rank, f"(process {pid}) {how}", code, "launcher log")


def _signal(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
