"""`rft stop`: end a run."""

from typing import Annotated

import typer

from engine.findings import EXIT_OK, EXIT_RUN_FAILED
from rftui.cli.options import RunsDir, runs_folder
from rftui.launch import control
from rftui.launch import stop as stopping
from rftui.runs.rundir import RunDir, find
from rftui.runs.view import present_status

app = typer.Typer(add_completion=False)


@app.command()
def stop(
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    kill: Annotated[bool, typer.Option("--kill", help="End it now, without a checkpoint.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the step to end.")] = 600.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait for the end.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Stop a run after its present step, with a checkpoint.

    Stopping a run that has ended does nothing and succeeds.
    """
    found = find(runs_folder(runs_dir), name)
    run = RunDir(found.path.resolve())
    status = present_status(run)
    if status == "lost":
        killed = stopping.bury(run)
        print(f"{run.name} had lost its supervisor; killed {len(killed)} processes that were left of it.")
        return
    if stopping.is_over(run):
        print(f"{run.name} has ended already: {status}.")
        return
    if kill:
        print(f"{run.name}: {stopping.kill(run)}")
        return
    if no_wait:
        control.ask(run, "stop")
        print(f"{run.name} will stop after its present step.")
        return
    print(f"{run.name}: waiting for its present step to end …", flush=True)
    status = stopping.stop(run, timeout)
    print(f"{run.name}: {status}")
    raise typer.Exit(EXIT_OK if status in ("stopped", "finished") else EXIT_RUN_FAILED)
