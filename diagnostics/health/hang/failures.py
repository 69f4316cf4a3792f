"""Which ranks of the present attempt failed, as they and torchrun wrote it."""

import re
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.failure import RankError, about_a_peer, read_errors

_FAILED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: \d+ \(pid: (\d+)\)")
_SUMMARY = re.compile(r"exitcode\s+: (-?\d+) \(pid: (\d+)\)")
_ENDED = re.compile(r"Sending process (\d+) closing signal")
_TAIL_BYTES = 1 << 17


class Failure(msgspec.Struct, frozen=True):
    """A rank that ended: `said` as part of a sentence; `exit_code` is negative for a signal."""

    rank: int
    said: str
    exit_code: int
    probe: str
    about_peer: bool = False
    """Whether it is only an exception about another rank that is lost or does not come."""
    explained: tuple[int, ...] = ()
    """Ranks whose end is no riddle: they wrote why, or torchrun ended them after another failed."""


def first_failure(run_dir: Path, pids: Mapping[int, int | None]) -> Failure | None:
    """The failure that others follow from; None if no rank failed.

    A rank's own exception comes first, then an exit that it could not tell of, then exceptions about peers:
    when a rank is lost, the others often fail on their connection to it before torchrun looks.
    """
    errors = read_errors(run_dir)
    exits, ended = _torchrun(run_dir / "logs" / "launcher.log", pids)
    wrote = {error.rank for error in errors}
    explained = tuple(sorted(wrote | ended))
    own = [error for error in errors if not about_a_peer(error.type, error.message, error.findings)]
    if own:
        return _of_error(own[0], explained)
    silent = {rank: code for rank, code in exits.items() if rank not in wrote | ended}
    if silent:
        rank = min(silent, key=lambda rank: (silent[rank] >= 0, rank))  # signals before exit codes
        return _of_exit(rank, silent[rank], explained)
    return _of_error(errors[0], explained, about_peer=True) if errors else None


def _torchrun(log: Path, pids: Mapping[int, int | None]) -> tuple[dict[int, int], set[int]]:
    """Exit codes by rank, and the ranks that torchrun ended itself. The log has earlier attempts too."""
    ranks = {pid: rank for rank, pid in pids.items() if pid is not None}
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return {}, set()
    exits = {int(pid): int(code) for code, pid in (*_FAILED.findall(text), *_SUMMARY.findall(text))}
    told = {int(pid) for pid in _ENDED.findall(text)}
    ended = {ranks[pid] for pid in told if pid in ranks and exits.get(pid, -15) in (-15, -9)}
    return {ranks[pid]: code for pid, code in exits.items() if pid in ranks}, ended


def _of_error(error: RankError, explained: tuple[int, ...], *, about_peer: bool = False) -> Failure:
    message = (error.findings[0].cause if error.findings else error.message).splitlines()
    said = f"raised {error.type}" + (f": {message[0][:300]}" if message else "")
    return Failure(error.rank, said, error.exit_code, "errors", about_peer, explained)


def _of_exit(rank: int, code: int, explained: tuple[int, ...]) -> Failure:
    how = f"was ended by signal {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
    return Failure(rank, how, code, "launcher log", explained=explained)


def _signal(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
