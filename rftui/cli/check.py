"""`rft check`: what is wrong with a configuration, ours or another trainer's, before a GPU is touched."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from diagnostics.hardware import detect
from diagnostics.places import described_place, detected_place
from diagnostics.rules.checking import check as checked
from diagnostics.rules.detect import NAMES
from diagnostics.rules.foreign import Foreign, Framework
from diagnostics.rules.read import open_source, read
from engine.findings import EXIT_BAD_INPUT, EXIT_OK, Finding, FindingsError, Fix
from engine.footprint.job import Place
from rftui.cli.check_own import check_own
from rftui.cli.checked import Report, show
from rftui.cli.options import AsJson
from rftui.runs.rundir import default_runs_dir

app = typer.Typer(add_completion=False)

Files = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Launch scripts, YAML or Python files; - for stdin.")
]


@app.command()
def check(
    files: Files,
    framework: Annotated[
        str | None,
        typer.Option("--framework", help=f"One of {', '.join(NAMES)}; default: as the file tells."),
    ] = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="8xA100-80", help="The GPUs of one machine it is for.")
    ] = None,
    convert: Annotated[
        Path | None, typer.Option("--convert", metavar="OUT.yaml", help="Write the equivalent rftui preset.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check configurations: batches, sizes, memory, options without effect, traps, variables.

    Understood: rftui's YAML; launch scripts and YAML of LightRFT, OpenRLHF, verl, TRL and Trinity-RFT.
    Nothing is executed. Exit code 2 for errors, 0 otherwise.
    """
    named = _framework(framework)
    if gpus is not None:
        described_place(gpus)  # a description that is wrong is told before any file is read
    reports: list[Report] = []
    jobs: list[Foreign] = []
    for file in files:
        reports += _reports(file, named, gpus, jobs)
    if convert is not None:
        from rftui.cli.converting import write_equivalent

        reports.append(write_equivalent(convert, jobs))
    if as_json:
        print(msgspec.json.encode({"files": [report.as_values() for report in reports]}).decode())
    else:
        show(reports)
    errors = any(finding.severity == "error" for report in reports for finding in report.findings)
    raise typer.Exit(EXIT_BAD_INPUT if errors else EXIT_OK)


def _reports(file: str, framework: Framework | None, gpus: str | None, jobs: list[Foreign]) -> list[Report]:
    """A report for each job of a file; other trainers' jobs are added to `jobs`."""
    try:
        if file != "-":
            return _of_file(Path(file), framework, gpus, jobs)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stdin"
            path.write_bytes(sys.stdin.buffer.read())
            try:
                reports = _of_file(path, framework, gpus, jobs)
            except FindingsError as error:
                reports = [Report(str(path), "", findings=error.findings)]
            return [_without(f"{folder}/", report) for report in reports]
    except FindingsError as error:
        return [Report(file, "", findings=error.findings)]


def _without(folder: str, report: Report) -> Report:
    """A report that does not name the folder that standard input was kept in."""
    text = msgspec.json.encode(report).decode().replace(folder, "")
    return msgspec.json.decode(text, type=Report)


def _of_file(path: Path, framework: Framework | None, gpus: str | None, jobs: list[Foreign]) -> list[Report]:
    source = open_source(path, framework)
    if source.framework == "rftui" and source.kind == "yaml":
        return [check_own(path, gpus)]
    found = read(source)
    jobs += found
    return [_of_job(job, gpus) for job in found]


def _of_job(job: Foreign, gpus: str | None) -> Report:
    found = checked(job, _place(job, gpus))
    name = NAMES[job.framework]
    return Report(job.path, name, job.program, found.arithmetic, found.memory, found.findings)


def _place(job: Foreign, gpus: str | None) -> Place | None:
    """The GPUs described; else this machine's, if it has any and a job of this size could run on them."""
    if gpus is not None:
        return described_place(gpus, job.nodes or 1)
    hardware = detect(folder=default_runs_dir())
    each = job.ranks // (job.nodes or 1) if job.ranks else 0
    if not hardware.gpus or each > len(hardware.gpus) or (job.nodes or 1) > 1:
        return None
    return detected_place(hardware)[0]


def _framework(given: str | None) -> Framework | None:
    for name, title in NAMES.items():
        if given is not None and given.lower() in (name, title.lower()):
            return name
    if given is None:
        return None
    cause = f"--framework {given}: this is none that is understood."
    fix = Fix(f"use one of {', '.join(NAMES)}")
    raise FindingsError([Finding("check.unknown-framework", "error", cause, fixes=(fix,))])
