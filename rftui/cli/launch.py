"""`rft launch`: from a preset to a running run."""

import sys
from typing import Annotated

import typer

from diagnostics.hardware import detect
from rftui.cli.attend import PARAMETERS, Foreground, Wait, attend, override_layers
from rftui.cli.options import AsJson, RunsDir, Sets, runs_folder
from rftui.cli.report import print_findings
from rftui.launch.prepare import prepare_new
from rftui.launch.sizing import block
from rftui.launch.start import create
from rftui.runs.rundir import runs_dir_option

app = typer.Typer(add_completion=False)


@app.command(context_settings=PARAMETERS)
def launch(
    context: typer.Context,
    preset: Annotated[str, typer.Argument(help="Name of a preset (`rft presets`), or a YAML file.")],
    name: Annotated[str | None, typer.Option("--name", help="Default: preset and time.")] = None,
    runs_dir: RunsDir = None,
    foreground: Foreground = False,
    wait: Wait = False,
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show configuration and command; create nothing.")
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Choose nothing: launch exactly what is given.")
    ] = False,
    sets: Sets = None,
) -> None:
    """Start a run from a preset or a YAML file.

    Every parameter is an option: --nproc 2 --train-batch-size 128 --actor-learning-rate 1e-4 …
    What trades memory for speed and is not given is planned for this machine.
    """
    folder = runs_folder(runs_dir)
    hardware = detect(folder=folder)
    overrides = override_layers(context.args, sets)
    prepared = prepare_new(preset, overrides, runs_dir=folder, name=name, hardware=hardware, as_is=as_is)
    if dry_run:
        from rftui.cli.dryrun import show

        show(prepared, folder, name, hardware.cores, as_json=as_json)
        return
    print_findings(prepared.warnings)
    if prepared.plan is not None:
        print("\n".join(block(prepared.plan)), file=sys.stderr if as_json else sys.stdout, flush=True)
    run = create(prepared, folder, name)
    hint = runs_dir_option(folder)
    attend(run, verb="started", hint=hint, foreground=foreground, wait=wait, as_json=as_json)
