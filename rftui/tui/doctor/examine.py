"""Runs checks for the screen: of this machine, and of the run or preset that is open. In threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.doctor.check import Check, Result
from diagnostics.doctor.runner import run_checks
from diagnostics.doctor.this_host import ThisHost
from engine.config.sections import RunConfig
from engine.findings import Finding, FindingsError
from rftui.runs.rundir import RunDir

if TYPE_CHECKING:
    from rftui.cli.doctor_fix import Proposal


@dataclass(frozen=True)
class Subject:
    """Whose configuration is looked at besides: a run's, a preset's, or nobody's."""

    run: RunDir | None = None
    preset: str = ""

    @property
    def words(self) -> str:
        if self.run is not None:
            return f"run {self.run.name}"
        return f"preset {self.preset}" if self.preset else "this machine"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `rft doctor` is given for the same."""
        if self.run is not None:
            return ("--config", str(self.run.config_path))
        if self.file is not None:
            return ("--config", str(self.file))
        return ("--preset", self.preset) if self.preset else ()

    @property
    def file(self) -> Path | None:
        """The user's file that a fix may edit: never a run's own copy, which tells what was run."""
        path = Path(self.preset)
        return path if self.preset.endswith((".yaml", ".yml")) and path.is_file() else None


@dataclass(frozen=True)
class Answer:
    """What came of one check, and the first thing that a program can do about it."""

    result: Result
    proposal: "Proposal | None" = None


def known_checks() -> tuple[Check, ...]:
    """All checks there are."""
    from diagnostics.doctor.registry import all_checks

    return all_checks()


def look_at(subject: Subject, runs_dir: Path) -> tuple[ThisHost, tuple[Finding, ...]]:
    """This machine, seen anew, with the subject's configuration; or without it, and why."""
    try:
        return ThisHost(runs_dir, _configuration(subject, runs_dir)), ()
    except FindingsError as error:
        return ThisHost(runs_dir), error.findings


def examine(
    checks: Sequence[Check], host: ThisHost, subject: Subject, told: Callable[[Answer], None]
) -> None:
    """Run them; each answer is told as it comes."""
    from rftui.cli.doctor_fix import proposals

    run_checks(
        checks, host, lambda result: told(Answer(result, next(proposals([result], subject.file), None)))
    )


def mend(proposal: "Proposal", host: ThisHost) -> str | None:
    """Do it; what went wrong in words."""
    from rftui.cli.doctor_fix import apply

    return apply(proposal, host)


def _configuration(subject: Subject, runs_dir: Path) -> RunConfig | None:
    if subject.run is not None:
        from engine.config.load import load_resolved

        return load_resolved(subject.run.config_path).config
    if subject.preset:
        from rftui.launch.intended import intended

        return intended(subject.preset, (), runs_dir)
    return None
