"""Processes of a run: starting one that dies with its parent, finding and ending what is left of a run."""

import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from rftui.launch.command import RUN_DIR_VARIABLE

LOCK_FILE = "supervisor.lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_PR_SET_PDEATHSIG = 1


def start_bound(argv: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in its own session that the kernel kills when this process dies, however it dies.

    Its output is appended to `log` (O_APPEND, so the log may be truncated meanwhile). Call it from the main
    thread, before others start: the death signal is bound to the calling thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def bind() -> None:
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died before the signal was bound
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=bind,
        )


def processes_of(run_dir: Path) -> list[int]:
    """Pids of living processes of a run other than this one: those whose environment names its directory."""
    found = []
    for process in psutil.process_iter():
        try:
            of_run = process.environ().get(RUN_DIR_VARIABLE) == str(run_dir)
        except psutil.Error:  # ended meanwhile, or another user's
            continue
        if of_run and process.pid != os.getpid():
            found.append(process.pid)
    return found


def kill_processes_of(run_dir: Path, timeout: float = 5.0) -> list[int]:
    """Kill every process of a run, again until none is left; returns the pids killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + timeout
    while (pids := processes_of(run_dir)) and time.monotonic() < deadline:
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        killed.update(pids)
        time.sleep(0.05)
    return sorted(killed)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process started by `start_bound` with its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def lock(run_dir: Path) -> int | None:
    """Take the run for this process and the children that inherit the descriptor; None if another has it.

    Held by a run's supervisor as long as it lives, so two can never work in one directory. It is a file
    opened for writing because NFS locks nothing else. Where a file system has no locks, `run.json` must do.
    """
    fd = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(fd)
            raise
    return fd


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
