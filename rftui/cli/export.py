"""`rft export`: a checkpoint as a Hugging Face model folder."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.config.load import load_resolved
from engine.findings import Finding, FindingsError, Fix
from rftui.cli.options import RunsDir, runs_folder
from rftui.launch.resume import saved_steps
from rftui.runs.info import ACTIVE
from rftui.runs.rundir import RunDir, find
from rftui.runs.view import present_status

app = typer.Typer(add_completion=False)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write; new, or empty.")],
    step: Annotated[
        int | None, typer.Option("--step", help="Step of the checkpoint; default: the last.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Write a checkpoint as a Hugging Face model folder."""
    run = find(runs_folder(runs_dir), name)
    checkpoint = _choose(run, step)
    _check_target(to)
    argv = [sys.executable, "-P", "-m", "engine.checkpoint.export", str(checkpoint), "--to", str(to)]
    raise typer.Exit(subprocess.run(argv).returncode)


def _choose(run: RunDir, step: int | None) -> Path:
    """The checkpoint of `step`, or the last one; a finding names those that are there."""
    steps = saved_steps(run, load_resolved(run.config_path).config)
    if not steps:
        cause = f"{run.name} has no complete checkpoint."
        fix = (
            Fix("stop the run, which saves one", command=f"rft stop {run.name}")
            if present_status(run) in ACTIVE
            else Fix("continue the run until one is saved", command=f"rft resume {run.name} --save-steps 1")
        )
        raise FindingsError([Finding("checkpoint.none", "error", cause, fixes=(fix,))])
    if step is None:
        return steps[max(steps)]
    if step not in steps:
        near = min(steps, key=lambda known: abs(known - step))
        there = ", ".join(map(str, steps))
        cause = f"{run.name} has no checkpoint of step {step}; it has those of {there}."
        fix = Fix(f"the nearest is {near}", command=f"rft export {run.name} --step {near} --to DIR")
        raise FindingsError([Finding("checkpoint.unknown-step", "error", cause, fixes=(fix,))])
    return steps[step]


def _check_target(to: Path) -> None:
    if not to.exists() or (to.is_dir() and not any(to.iterdir())):
        return
    holds = "is not empty" if to.is_dir() else "is a file"
    finding = Finding(
        "export.target-used",
        "error",
        f"{to} {holds}; nothing is written over it.",
        fixes=(Fix("name a new folder with --to"), Fix("or empty that one first")),
    )
    raise FindingsError([finding])
