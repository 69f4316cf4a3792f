"""Why a run ended: what its ranks wrote, and what torchrun saw, told in one sentence."""

import contextlib
import re
import signal
from pathlib import Path

import msgspec

from engine import failure
from engine.events import Metric, Status
from engine.failure import RankError
from engine.findings import EXIT_OK, EXIT_RUN_FAILED
from rftui.runs.info import Exit, RunStatus
from rftui.runs.rundir import RunDir


class Progress(msgspec.Struct):
    """What rank 0's events say at the end: its last state, and how far it came."""

    state: str = ""
    steps: int = 0
    total_steps: int | None = None
    answered: float = -1.0
    """`t` of the last request that was answered."""


_FAILURE = re.compile(r"rank\s+: (\d+) \(local_rank: \d+\)\s+exitcode\s+: (-?\d+) \(pid: (\d+)\)")
_EXPLAINED = {
    "SIGKILL": "from outside, for example by the kernel for lack of memory",
    "SIGSEGV": "a crash in native code",
    "SIGBUS": "often shared memory (/dev/shm) that is full",
    "SIGABRT": "native code gave up; its message is in the rank's log",
}


def ended_well(progress: Progress, returncode: int) -> RunStatus | None:
    """ "stopped" or "finished" for ranks that all ended with exit code 0, None otherwise."""
    if returncode != 0:
        return None
    return "stopped" if progress.state == "stopped" else "finished"


def explain(run: RunDir, returncode: int, launcher_output: str) -> Exit:
    """The exit cause of a run whose ranks did not all end well.

    `launcher_output`: what torchrun printed in this attempt, with its summary of exit codes.
    """
    errors = {error.rank: error for error in read_errors(run)}
    codes = {int(rank): int(code) for rank, code, _ in _FAILURE.findall(launcher_output)}
    ended_by_torchrun = _ended_by_torchrun(launcher_output)
    said: dict[int, str] = {}
    for rank in sorted({*errors, *codes}):
        if rank in errors:
            said[rank] = _error_words(errors[rank])
        elif rank in ended_by_torchrun:
            said[rank] = "ended by torchrun after another rank failed"
        else:
            said[rank] = _code_words(codes[rank])
    if not said:
        return Exit(_launcher_words(returncode, launcher_output))
    first = _first(errors, codes, ended_by_torchrun)
    return Exit(f"rank {first}: {said[first]}", {str(rank): words for rank, words in said.items()})


def read_errors(run: RunDir) -> list[RankError]:
    """What failing ranks of this attempt wrote, the earliest first."""
    return failure.read_errors(run.path)


def forget_errors(run: RunDir) -> None:
    """Remove what ranks of an attempt that is over wrote; the next one is explained by its own."""
    for file in run.errors_dir.glob("rank-*.json"):
        file.unlink()


def exit_code(run: RunDir, status: str) -> int:
    """The exit code for a run that has this final status: 0, 1, or a rank's own 2 or 3 for its findings."""
    if status in ("finished", "stopped"):
        return EXIT_OK
    return next((error.exit_code for error in read_errors(run) if error.findings), EXIT_RUN_FAILED)


def read_progress(run: RunDir, since: float) -> Progress:
    """State and steps from rank 0's events; the state only counts when it is from this attempt."""
    progress = Progress()
    path = run.events_dir / "rank-00000.jsonl"
    if not path.exists():
        return progress
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(msgspec.DecodeError):  # torn
                _take(progress, line, since)
    return progress


def _take(progress: Progress, line: bytes, since: float) -> None:
    if line.startswith(b'{"kind":"metric"'):
        progress.steps = max(progress.steps, msgspec.json.decode(line, type=Metric).step)
    elif line.startswith(b'{"kind":"status"'):
        status = msgspec.json.decode(line, type=Status)
        progress.state = status.state if status.t >= since else ""
        if status.answers:
            progress.answered = status.answers
        if status.state == "resumed":  # steps after the checkpoint are done again
            progress.steps = max(status.step, 0)
        progress.total_steps = status.total_steps if status.total_steps > 0 else progress.total_steps


def _first(errors: dict[int, RankError], codes: dict[int, int], ended_by_torchrun: set[int]) -> int:
    """The rank that failed first.

    When a rank is lost, the others fail on their connection to it, often before torchrun looks: so a rank's
    own error comes first, then death by a signal, then an error about a peer; each in the order of time.
    """
    own = [rank for rank, e in errors.items() if not failure.about_a_peer(e.type, e.message, e.findings)]
    killed = [rank for rank, code in codes.items() if code < 0 and rank not in ended_by_torchrun | {*errors}]
    silent = [rank for rank in codes if rank not in ended_by_torchrun | {*errors}]
    return [*own, *killed, *silent, *errors, *codes][0]


def _ended_by_torchrun(output: str) -> set[int]:
    """Ranks that torchrun ended itself: on SIGTERM as told, or with SIGKILL where they did not listen."""
    told = set(re.findall(r"Sending process (\d+) closing signal", output))
    return {
        int(rank) for rank, code, pid in _FAILURE.findall(output) if pid in told and int(code) in (-15, -9)
    }


def _error_words(error: RankError) -> str:
    if error.findings:
        return f"exit code {error.exit_code}: {error.findings[0].cause}"
    first = error.message.strip().split("\n")[0]
    return f"exit code {error.exit_code}: {error.type}" + (f": {first}" if first else "")


def _code_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (f" ({_EXPLAINED[name]})" if name in _EXPLAINED else "")


def _launcher_words(returncode: int, output: str) -> str:
    """torchrun itself failed, before or besides its ranks: its last words."""
    if "EADDRINUSE" in output:
        return "torchrun could not open its port: another process took it (EADDRINUSE)"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    words = f"its last line: {lines[-1]}" if lines else "it printed nothing"
    return f"torchrun: {_code_words(returncode)}; {words}"


def log_since(log: Path, offset: int) -> str:
    """A log's text from a byte offset; from its start when it was rotated since."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(offset if offset <= size else 0)
            return file.read().decode(errors="replace")
    except OSError:
        return ""
