"""`diagnosis.json`: what a run that ended badly died of, and which of the fixes can be applied."""

import contextlib

import msgspec

from diagnostics.knowledge.diagnosis import Diagnosis
from engine.findings import Finding, FindingsError, Fix
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir

FILE = "diagnosis.json"


def write(run: RunDir, diagnosis: Diagnosis) -> None:
    """Keep it as `diagnosis.json`."""
    content = msgspec.json.format(msgspec.json.encode(diagnosis), indent=2) + b"\n"
    write_atomic(run.path / FILE, content)


def read(run: RunDir) -> Diagnosis | None:
    """The one that was kept; None where there is none, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
        return msgspec.json.decode((run.path / FILE).read_bytes(), type=Diagnosis)
    return None


def forget(run: RunDir) -> None:
    """The run goes on: what an earlier attempt died of is over."""
    (run.path / FILE).unlink(missing_ok=True)


def applicable(diagnosis: Diagnosis) -> Fix | None:
    """The first fix of the likeliest cause that is a change of settings."""
    fixes = diagnosis.findings[0].fixes if diagnosis.findings else ()
    return next((fix for fix in fixes if fix.set), None)


def nothing_to_apply(run: RunDir, diagnosis: Diagnosis | None) -> FindingsError:
    """Why `--apply-fix` cannot go on."""
    if diagnosis is None:
        cause = f"{run.name} has no diagnosis: it did not end by a failure."
    elif not diagnosis.findings:
        cause = f"nothing is known to be wrong with {run.name}."
    else:
        cause = f"no fix for “{diagnosis.findings[0].title}” is a change of settings that could be applied."
    fixes = (
        Fix("read what was found", command=f"rft diagnose {run.path}"),
        Fix("change settings yourself", command=f"rft resume {run.in_commands} --set section.key=value"),
    )
    return FindingsError([Finding("resume.nothing-to-apply", "error", cause, fixes=fixes)])
