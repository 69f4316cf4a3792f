"""Ends a run: cleanly after its present step, or at once; also tidies up after a run that was lost."""

import os
import signal
import time

from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix
from rftui.launch import control
from rftui.launch.processes import kill_processes_of
from rftui.launch.start import not_written, take_over
from rftui.runs.info import ACTIVE, Exit, supervisor_alive
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status

POLL_S = 0.1
KILL_TIMEOUT_S = 15.0
LOCK_TIMEOUT_S = 5.0
"""A supervisor that was killed gives up its lock within this time."""


def is_over(run: RunDir) -> bool:
    """Whether the run has ended, well or badly."""
    return present_status(run) not in ACTIVE


def stop(run: RunDir, timeout: float) -> str:
    """Ask for a stop after the present step, and wait for it; returns the final status.

    Raises `run.stop-timeout` (exit code 1) if the run still goes on after `timeout` seconds.
    """
    control.ask(run, "stop")
    if not _wait_until_over(run, timeout):
        finding = Finding(
            id="run.stop-timeout",
            severity="error",
            cause=f"{run.name} has not ended within {timeout:g} s of being asked to.",
            fixes=(
                Fix(
                    "it may be in a long step: wait longer",
                    command=f"rft stop {run.in_commands} --timeout {2 * timeout:g}",
                ),
                Fix(
                    "end it at once, losing the steps since its last checkpoint",
                    command=f"rft stop {run.in_commands} --kill",
                ),
            ),
        )
        raise FindingsError([finding], EXIT_RUN_FAILED)
    return present_status(run)


def kill(run: RunDir) -> str:
    """End the run at once. Its supervisor does it; if that does not answer, it is ended too."""
    control.ask(run, "kill")
    if not _wait_until_over(run, KILL_TIMEOUT_S):
        info = run.read_info()
        if info.supervisor_pid and supervisor_alive(info):
            os.kill(info.supervisor_pid, signal.SIGKILL)
        bury(run)
    return present_status(run)


def bury(run: RunDir) -> list[int]:
    """After the loss of a supervisor: kill what is left of the run, record its end; returns pids killed.

    Raises `run.alive` if it has a supervisor after all, on another machine or just coming up.
    """
    fd = take_over(run, LOCK_TIMEOUT_S)
    try:
        killed = kill_processes_of(run.path)
        info = run.read_info()
        if info.status in ACTIVE:
            info.status, info.ended = "stopped", time.time()
            info.exit = Exit("its supervisor was gone; steps since the last checkpoint are lost")
            run.reserve_path.unlink(missing_ok=True)
            run.write_info(info)
    except OSError as error:
        raise not_written(run, error) from error
    finally:
        os.close(fd)
    return killed


def _wait_until_over(run: RunDir, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if is_over(run):
            return True
        time.sleep(POLL_S)
    return is_over(run)
