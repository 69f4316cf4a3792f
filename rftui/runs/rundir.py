"""The run directory: where its files are, how it is created, and how it is found by name."""

import difflib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.findings import EXIT_BAD_INPUT, EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.runs import info as run_info
from rftui.runs import unsupervised
from rftui.runs.info import RunInfo, effective_status

__all__ = ["RunDir", "auto_name", "create", "create_auto", "default_runs_dir", "effective_status", "find"]

MAX_NAME = 100
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class RunDir:
    """One run's folder; the paths need not exist yet."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def in_commands(self) -> str:
        """What commands for this run are given: its name, and its folder unless that is the default one."""
        return self.name + runs_dir_option(self.path.parent)

    @property
    def info_path(self) -> Path:
        return self.path / "run.json"

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def plan_path(self) -> Path:
        return self.path / "plan.json"

    @property
    def events_dir(self) -> Path:
        return self.path / "events"

    @property
    def logs_dir(self) -> Path:
        return self.path / "logs"

    @property
    def errors_dir(self) -> Path:
        return self.path / "errors"

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    @property
    def control_path(self) -> Path:
        return self.path / "control.json"

    @property
    def reserve_path(self) -> Path:
        """Room kept aside while the run lasts: its end is recorded even on a disk that is full by then."""
        return self.path / ".reserve"

    def read_info(self) -> RunInfo:
        """Content of `run.json`, or what the events tell of a run that was started without `rft`.

        FindingsError (exit code 2) when it is damaged, or neither is there.
        """
        if not self.info_path.exists() and unsupervised.is_unsupervised(self.path):
            return unsupervised.info_of(self.path)
        return run_info.read(self.info_path)

    @property
    def exists(self) -> bool:
        """Whether the folder is a run at all."""
        return self.info_path.is_file() or unsupervised.is_unsupervised(self.path)

    def write_info(self, info: RunInfo) -> None:
        """Replace `run.json` atomically."""
        run_info.write(self.info_path, info)


def default_runs_dir() -> Path:
    """$RFTUI_RUNS_DIR, else `runs` in the working directory."""
    return Path(os.environ.get("RFTUI_RUNS_DIR") or "runs")


def runs_dir_option(runs_dir: Path) -> str:
    """What a command for a run needs besides its name: ` --runs-dir DIR`, empty for the default folder."""
    is_default = runs_dir.absolute() == default_runs_dir().absolute()
    return "" if is_default else f" --runs-dir {shlex.quote(str(runs_dir))}"


def check_name(name: str) -> None:
    """Raise a finding unless `name` can be a folder name on any system and an argument of any command."""
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME:
        return
    problem = f"is longer than {MAX_NAME} characters" if len(name) > MAX_NAME else "is not allowed"
    suggestion = clean_name(name)
    raise FindingsError(
        [
            Finding(
                id="run.name-invalid",
                severity="error",
                cause=f"the run name {name[: MAX_NAME + 1]!r} {problem}: letters, digits, '.', '_' and '-', "
                "not starting with '.' or '-'.",
                fixes=(Fix(f"use another name, such as {suggestion!r}"),),
            )
        ]
    )


def check_free(runs_dir: Path, name: str) -> None:
    """Raise a finding unless a run of this name could be created: name allowed, not used."""
    check_name(name)
    if (runs_dir / name).exists():
        raise _name_used(runs_dir, name)


def clean_name(text: str) -> str:
    """The nearest allowed run name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:MAX_NAME] or "run"


def auto_name(preset: str, now: float | None = None) -> str:
    """`<preset>-<MMDD-HHMMSS>` in local time; of a preset given as a path, the file name without ending."""
    stem = Path(preset).stem if preset.endswith((".yaml", ".yml")) else preset
    stamp = time.strftime("%m%d-%H%M%S", time.localtime(now))
    return f"{clean_name(stem)[: MAX_NAME - 20]}-{stamp}"


def create(runs_dir: Path, name: str) -> RunDir:
    """Make the run's folder with `events`, `logs` and `checkpoints` in it, or raise and leave nothing behind.

    Findings: `run.name-invalid`, `run.name-used` (exit code 2), `run.dir-unwritable` (3).
    """
    check_name(name)
    run = RunDir(runs_dir / name)
    made_parents = _missing(runs_dir)
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        run.path.mkdir()
    except FileExistsError as error:
        if run.path.exists():
            raise _name_used(runs_dir, name) from error
        raise _unwritable(runs_dir, error) from error  # a file stands where runs_dir should be
    except OSError as error:
        _remove_empty(made_parents)
        raise _unwritable(runs_dir, error) from error
    try:
        for folder in (run.events_dir, run.logs_dir, run.checkpoints_dir):
            folder.mkdir()
    except OSError as error:
        shutil.rmtree(run.path, ignore_errors=True)
        _remove_empty(made_parents)
        raise _unwritable(runs_dir, error) from error
    return run


def create_auto(runs_dir: Path, preset: str) -> RunDir:
    """`create` under `auto_name`, numbered when several runs start within one second."""
    base = auto_name(preset)
    for name in (base, *(f"{base}-{n}" for n in range(2, 100))):
        if not (runs_dir / name).exists():
            try:
                return create(runs_dir, name)
            except FindingsError as error:
                if error.findings[0].id != "run.name-used":
                    raise
    raise _name_used(runs_dir, base)


def find(runs_dir: Path, name: str) -> RunDir:
    """The run of that name (or at that path, when it has a slash); unknown → a finding with near names."""
    run = RunDir(runs_dir / name)
    if _NAME.fullmatch(name) and run.exists:
        return run
    if "/" in name and RunDir(Path(name)).exists:
        return RunDir(Path(name).resolve())
    known = names(runs_dir)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    fixes = [Fix(f"use {other}") for other in near] or [
        Fix("list the runs", command=f"rft runs{runs_dir_option(runs_dir)}")
    ]
    raise FindingsError(
        [
            Finding(
                id="run.unknown",
                severity="error",
                cause=f"there is no run {name!r} in {runs_dir} ({len(known)} runs there).",
                fixes=(*fixes, Fix("name another folder of runs with --runs-dir or RFTUI_RUNS_DIR")),
            )
        ]
    )


def names(runs_dir: Path) -> list[str]:
    """Names of all folders in `runs_dir` that are runs; none when `runs_dir` does not exist."""
    try:
        with os.scandir(runs_dir) as entries:
            return sorted(e.name for e in entries if RunDir(Path(e.path)).exists)
    except OSError:
        return []


def _missing(path: Path) -> list[Path]:
    """`path` and those of its parents that do not exist yet, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            continue


def _name_used(runs_dir: Path, name: str) -> FindingsError:
    finding = Finding(
        id="run.name-used",
        severity="error",
        cause=f"{runs_dir / name} exists already.",
        fixes=(
            Fix("leave --name out to get a fresh name, or choose another"),
            Fix("continue that run", command=f"rft resume {name}{runs_dir_option(runs_dir)}"),
        ),
    )
    return FindingsError([finding], EXIT_BAD_INPUT)


def _unwritable(runs_dir: Path, error: OSError) -> FindingsError:
    finding = Finding(
        id="run.dir-unwritable",
        severity="error",
        cause=f"no run can be created in {runs_dir.absolute()}: {error.strerror or error}.",
        fixes=(
            Fix("give a folder you can write to with --runs-dir or RFTUI_RUNS_DIR"),
            Fix("free space or change permissions of that folder"),
        ),
    )
    return FindingsError([finding], EXIT_UNFIT)
