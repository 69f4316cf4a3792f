"""`rft checkpoint`: save a running run now."""

from typing import Annotated

import typer

from rftui.cli.options import RunsDir, runs_folder
from rftui.launch import checkpoint as saving
from rftui.runs.rundir import RunDir, find

app = typer.Typer(add_completion=False)


@app.command()
def checkpoint(
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the step to end.")] = 600.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait for it.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Save a checkpoint after the present step; the run goes on.

    It counts among those that `max_ckpt_num` and `max_ckpt_mem` keep.
    """
    found = find(runs_folder(runs_dir), name)
    run = RunDir(found.path.resolve())
    asked = saving.ask(run)
    if no_wait:
        print(f"{run.name} will save a checkpoint after its present step.")
        return
    print(f"{run.name}: waiting for its present step to end …", flush=True)
    print(f"{run.name}: {saving.wait(run, asked, timeout)}")
