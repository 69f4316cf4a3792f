"""Deletes a run's folder; never that of a run that goes on."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.launch.processes import LOCK_FILE, lock, processes_of
from rftui.launch.start import already_supervised
from rftui.runs.rundir import RunDir
from rftui.runs.view import goes_on


class Contents(NamedTuple):
    """What a folder holds, in bytes and files; links count as themselves."""

    bytes: int
    files: int


def contents(where: Path) -> Contents:
    """What a folder holds, however deep."""
    total, files = 0, 0
    for folder, _, names in os.walk(where):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += (Path(folder) / name).lstat().st_size
                files += 1
    return Contents(total, files)


def delete(run: RunDir) -> Contents:
    """Delete the folder and say what was in it.

    Raises `run.alive` for a run that goes on, and where that cannot be told for one whose files are locked;
    `run.linked` where the folder is a link; `run.not-deleted` (exit code 3) where something remains.
    """
    if run.path.is_symlink():
        cause = f"{run.path} is a link to {run.path.resolve()}; only a folder of runs itself is tidied."
        fixes = (
            Fix("remove the link, and the folder it leads to if you mean that", command=f"rm {run.path}"),
        )
        raise FindingsError([Finding("run.linked", "error", cause, fixes=fixes)])
    fd = _idle(run)
    try:
        held = contents(run.path)
        _remove(run)
    except OSError as error:
        cause = f"{run.path} could not be deleted whole: {error.strerror or error} ({error.filename})."
        fixes = (Fix("change permissions of what is left, and delete again"),)
        raise FindingsError([Finding("run.not-deleted", "error", cause, fixes=fixes)], EXIT_UNFIT) from error
    finally:
        os.close(fd)
    return held


def _idle(run: RunDir) -> int:
    """The lock of a run that does not go on."""
    try:
        fd = lock(run.path)
    except OSError as error:
        cause = f"{run.path} cannot be deleted: {error.strerror or error}."
        fixes = (Fix("change permissions of that folder"),)
        raise FindingsError([Finding("run.not-deleted", "error", cause, fixes=fixes)], EXIT_UNFIT) from error
    if fd is None:
        raise already_supervised(run)
    try:
        if goes_on(run, unreadable=False):  # then the lock that nobody holds decides
            raise already_supervised(run)
        if pids := processes_of(run.path.resolve()):
            raise _still_working(run, pids)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _still_working(run: RunDir, pids: list[int]) -> FindingsError:
    cause = f"{run.name} has lost its supervisor, but its processes {', '.join(map(str, pids))} still work."
    fixes = (Fix("end them first", command=f"rft stop {run.in_commands} --kill"),)
    return FindingsError([Finding("run.alive", "error", cause, fixes=fixes)])


def _remove(run: RunDir) -> None:
    """`run.json` goes last: what is left half-way is still listed, and can be deleted again."""
    last = (run.info_path.name, LOCK_FILE)
    for entry in sorted(run.path.iterdir()):
        if entry.name in last:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    for name in last:
        (run.path / name).unlink(missing_ok=True)
    run.path.rmdir()
