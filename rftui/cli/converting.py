"""`rft check --convert`: the equivalent preset of another trainer's configuration, as a file."""

from collections.abc import Sequence
from pathlib import Path

from diagnostics.rules.convert import convert
from diagnostics.rules.detect import NAMES
from diagnostics.rules.foreign import Foreign
from diagnostics.rules.rulesets import job_of
from engine.findings import Finding, FindingsError, Fix
from rftui.cli.checked import Report


def write_equivalent(path: Path, jobs: Sequence[Foreign]) -> Report:
    """Write the preset of the one job there is, and report what has no equivalent."""
    if len(jobs) != 1:
        raise FindingsError([_not_one(path, jobs)])
    conversion = convert(jobs[0], job_of(jobs[0]))
    try:
        with path.open("x", encoding="utf-8") as file:  # never over a file of the user's
            file.write(conversion.text)
    except OSError as error:
        cause = f"the preset cannot be written to {path}: {error.strerror}."
        there = isinstance(error, FileExistsError)
        fix = Fix("give the name of a new file" if there else "give a file in a folder you can write to")
        raise FindingsError([Finding("check.not-written", "error", cause, fixes=(fix,))]) from error
    return Report(str(path), "rftui", f"written from {jobs[0].path}", findings=conversion.findings)


def _not_one(path: Path, jobs: Sequence[Foreign]) -> Finding:
    if jobs:
        which = ", ".join(f"{NAMES[job.framework]} in {job.path}" for job in jobs)
        cause = f"{path} is not written: there are {len(jobs)} jobs ({which}), and a preset holds one."
        fix = Fix("give a file with the one that you mean")
    else:
        cause = f"{path} is not written: there is no configuration of another trainer to convert."
        fix = Fix("give another trainer's launch script or YAML")
    return Finding("check.not-one-job", "error", cause, fixes=(fix,))
