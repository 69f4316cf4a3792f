"""What the kernel tells of each rank's process."""

import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

PROC = Path("/proc")
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk",
    "T": "stopped",
    "t": "traced",
    "Z": "ended",
    "X": "ended",
}


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One rank's process at one moment. `pid` is None where it is not known or has ended."""

    rank: int
    pid: int | None
    state: str = "unknown"
    """`running`, `sleeping`, `disk` (a system call that nothing interrupts), `stopped`, `traced`, `ended`."""
    wchan: str = ""
    """Where it sleeps in the kernel, if the kernel tells."""
    cpu_s: float = 0.0
    listens: bool = False
    """Whether it has a handler for SIGUSR1: without one the signal would end it."""
    children: tuple[str, ...] = ()
    """`pid name state` of each child."""

    @property
    def alive(self) -> bool:
        return self.pid is not None and self.state != "ended"


def look(ranks: Mapping[int, int | None]) -> dict[int, Process]:
    """The processes of this machine now."""
    return {rank: _process(rank, pid) for rank, pid in ranks.items()}


def _process(rank: int, pid: int | None) -> Process:
    if pid is None:
        return Process(rank=rank, pid=None)
    fields = _status(pid)
    if not fields:
        return Process(rank=rank, pid=pid, state="ended")
    caught = int(fields.get("SigCgt", "0"), 16)
    return Process(
        rank=rank,
        pid=pid,
        state=_STATES.get(fields.get("State", "?")[0], "sleeping"),
        wchan=_read(PROC / str(pid) / "wchan").strip("\0 \n0"),
        cpu_s=_cpu_seconds(pid),
        listens=bool(caught >> (signal.SIGUSR1 - 1) & 1),
        children=_children(pid),
    )


def _status(pid: int) -> dict[str, str]:
    lines = _read(PROC / str(pid) / "status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _cpu_seconds(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _children(pid: int) -> tuple[str, ...]:
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return ()
    told = []
    for child in children:
        try:
            told.append(f"{child.pid} {child.name()} {child.status()}")
        except psutil.Error:
            continue
    return tuple(told)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
