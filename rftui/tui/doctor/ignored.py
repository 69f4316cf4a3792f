"""Checks whose answer the user has decided to live with, and why: a TOML file beside the settings."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from platformdirs import user_config_path

from diagnostics.doctor.check import Result, Status
from diagnostics.doctor.runner import RANK
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.runs.info import write_atomic

FILE = "ignored-checks.toml"


class Ignored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and what the check said then: a worse answer is shown all the same."""

    reason: str
    status: Status
    findings: tuple[str, ...] = ()

    def covers(self, result: Result) -> bool:
        """Whether this answer was known when it was ignored: the same findings, none of them worse."""
        if "unchecked" in (self.status, result.status):
            return self.status == result.status
        known = {finding.id for finding in result.findings} <= set(self.findings)
        return known and result.status in RANK and RANK[result.status] >= RANK.get(self.status, 0)


def ignored_path() -> Path:
    """Where the file is, or would be."""
    return user_config_path("rftui") / FILE


def read_ignored(path: Path) -> dict[str, Ignored]:
    """By check; FindingsError where the file cannot be used."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, Ignored])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise FindingsError([_finding(path, "read", error, "correct or remove that file")]) from error


def write_ignored(path: Path, ignored: Mapping[str, Ignored]) -> None:
    """Replace the file; FindingsError where that is not possible."""
    import tomlkit

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, tomlkit.dumps(msgspec.to_builtins(dict(sorted(ignored.items())))).encode())
    except OSError as error:
        found = _finding(path, "written", error, "make that folder writable")
        raise FindingsError([found], EXIT_UNFIT) from error


def _finding(path: Path, done: str, error: Exception, fix: str) -> Finding:
    said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return Finding("doctor.ignored-file", "error", f"{path} cannot be {done}: {said}.", fixes=(Fix(fix),))
