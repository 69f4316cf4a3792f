"""`rft watch`: look at a run, live or ended; as lines of text where there is no terminal."""

import sys
import time
from typing import Annotated

import typer

from rftui.cli.options import Readonly, RunsDir, Slow, runs_folder
from rftui.runs.rundir import RunDir, find

app = typer.Typer(add_completion=False)


@app.command()
def watch(
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Lines of text instead of a screen, as without a terminal."),
    ] = False,
    readonly: Readonly = False,
    slow: Slow = False,
    runs_dir: RunsDir = None,
) -> None:
    """Watch a run live, or look at one that has ended.

    In plain mode the exit code is the run's: 0 when it finished or was stopped, 1 when it failed.
    """
    folder = runs_folder(runs_dir)
    run = find(folder, name)
    if plain or not (sys.stdout.isatty() and sys.stdin.isatty()):
        if readonly or slow:
            raise typer.BadParameter("--readonly and --slow are for the screen; here lines are printed")
        raise typer.Exit(_follow(run))
    from rftui.tui.settings import settings_with
    from rftui.tui.start import start

    raise typer.Exit(start(folder, run, settings_with(readonly=readonly, slow=slow)))


def _follow(run: RunDir) -> int:
    """Print what happens until the run has ended; the exit code of its status."""
    from rftui.launch import outcome, stop
    from rftui.launch.progress import Progress

    since = 0.0 if stop.is_over(run) else time.time()
    progress = Progress(run, lambda line: print(line, flush=True), since)
    status = progress.wait()
    result = progress.result()
    cause = f": {result['cause']}" if "cause" in result else ""
    print(f"{run.name} {status} after {result['steps']} steps, {result['seconds']:.0f} s{cause}", flush=True)
    return outcome.exit_code(run, status)
