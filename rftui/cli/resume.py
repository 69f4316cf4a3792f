"""`rft resume`: continue a run that has ended, from its last checkpoint."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from diagnostics.hardware import detect
from engine.config.load import Layer
from engine.config.values import show
from rftui.cli.attend import PARAMETERS, Foreground, Wait, attend, override_layers
from rftui.cli.options import AsJson, RunsDir, Sets, runs_folder
from rftui.cli.report import print_findings
from rftui.launch.resume import open_attempt, prepare_resume, saved_steps
from rftui.launch.start import take_over
from rftui.runs import diagnosis
from rftui.runs.rundir import RunDir, find, runs_dir_option

app = typer.Typer(add_completion=False)


@app.command(context_settings=PARAMETERS)
def resume(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    runs_dir: RunsDir = None,
    foreground: Foreground = False,
    wait: Wait = False,
    as_json: AsJson = False,
    sets: Sets = None,
    apply_fix: Annotated[
        bool, typer.Option("--apply-fix", help="Change the settings that its diagnosis proposes.")
    ] = False,
) -> None:
    """Continue a run from its last checkpoint, whatever ended it.

    Every parameter can be changed: --nproc 1 --actor-learning-rate 5e-5 …
    """
    folder = runs_folder(runs_dir)
    run = RunDir(find(folder, name).path.resolve())
    fd = take_over(run)
    try:
        if (cwd := Path(run.read_info().cwd)).is_dir():
            os.chdir(cwd)
        layers = override_layers(context.args, sets, source="resume")
        if apply_fix:
            layers = [_fix(run), *layers]
        prepared = prepare_resume(run, layers, detect())
        open_attempt(run, prepared)
    except BaseException:
        os.close(fd)
        raise
    diagnosis.forget(run)
    print_findings(prepared.warnings)
    steps = saved_steps(run, prepared.resolved.config)
    start = f"resumed from step {max(steps)}:" if steps else "no complete checkpoint, started anew:"
    hint = runs_dir_option(folder)
    attend(run, verb=start, hint=hint, foreground=foreground, wait=wait, as_json=as_json, lock_fd=fd)


def _fix(run: RunDir) -> Layer:
    """The change of settings that the run's diagnosis proposes first, told on standard error."""
    found = diagnosis.read(run)
    fix = diagnosis.applicable(found) if found else None
    if fix is None:
        raise diagnosis.nothing_to_apply(run, found)
    values = ", ".join(f"{key} = {show(value)}" for key, value in fix.set.items())
    print(f"{fix.text}: {values}", file=sys.stderr)
    return Layer("fix", dict(fix.set))
