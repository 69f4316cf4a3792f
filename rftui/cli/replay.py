"""`rft replay`: play a finished run as if it happened now."""

import sys
from typing import Annotated

import typer

from engine.findings import Finding, FindingsError, Fix
from rftui.cli.options import Readonly, RunsDir, Slow, runs_folder
from rftui.runs.rundir import find

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    speed: Annotated[float, typer.Option(help="Times as fast as it happened, 0.1 to 10000.")] = 20.0,
    readonly: Readonly = False,
    slow: Slow = False,
    runs_dir: RunsDir = None,
) -> None:
    """Play a finished run as if it happened now, in the screen of `rft watch`.

    Space stops the clock, < and > change the speed, J goes to a step.
    """
    folder = runs_folder(runs_dir)
    run = find(folder, name)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        fix = Fix("read what happened as lines", command=f"rft watch {name} --plain")
        raise FindingsError(
            [Finding("replay.no-terminal", "error", "a replay needs a terminal.", fixes=(fix,))]
        )
    from rftui.tui.settings import settings_with
    from rftui.tui.start import start

    settings = settings_with(readonly=readonly, slow=slow)
    raise typer.Exit(start(folder, run, settings, speed=speed))
