"""`rft resume`: continue a run that has ended, from its last checkpoint."""

import os
from pathlib import Path
from typing import Annotated

import typer

from diagnostics.hardware import detect
from rftui.cli.attend import PARAMETERS, Foreground, Sets, Wait, attend, override_layers
from rftui.cli.options import AsJson, RunsDir, runs_folder
from rftui.cli.report import print_findings
from rftui.launch.resume import open_attempt, prepare_resume, saved_steps
from rftui.launch.start import take_over
from rftui.runs.rundir import RunDir, default_runs_dir, find

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
        prepared = prepare_resume(run, override_layers(context.args, sets, source="resume"), detect())
        open_attempt(run, prepared)
    except BaseException:
        os.close(fd)
        raise
    print_findings(prepared.warnings)
    steps = saved_steps(run, prepared.resolved.config)
    start = f"resumed from step {max(steps)}:" if steps else "no complete checkpoint, started anew:"
    hint = "" if folder == default_runs_dir() else f" --runs-dir {folder}"
    attend(run, verb=start, hint=hint, foreground=foreground, wait=wait, as_json=as_json, lock_fd=fd)
