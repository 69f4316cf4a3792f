"""`rft health`: the present state of a run's ranks, and what is wrong with it."""

from typing import Annotated

import msgspec
import typer

from engine.findings import EXIT_OK, EXIT_RUN_FAILED
from rftui.cli.columns import GAP, aligned, terminal_width
from rftui.cli.options import AsJson, RunsDir, runs_folder
from rftui.cli.report import print_findings
from rftui.runs.health import Health, RankHealth, present_health
from rftui.runs.rundir import find
from rftui.tui.text import duration

app = typer.Typer(add_completion=False)


@app.command()
def health(
    name: Annotated[str, typer.Argument(help="Name of the run, or path to its folder.")],
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Say where each rank of a run is now, how long it has waited, and everything that is wrong.

    Exit code 1 when one of the findings is an error.
    """
    found = present_health(find(runs_folder(runs_dir), name))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print(found)
    wrong = any(finding.severity == "error" for finding in found.findings)
    raise typer.Exit(EXIT_RUN_FAILED if wrong else EXIT_OK)


def _print(found: Health) -> None:
    print(f"{found.run}: {found.status}, step {found.step}, {len(found.ranks)} rank(s)")
    rows = [("rank", "step", "phase", "for", "last sign", "waits", "collective"), *map(_row, found.ranks)]
    for cells in aligned(rows, right=(0, 1, 3, 4, 5), width=terminal_width()):
        print(GAP.join(cells).rstrip())
    if found.findings:
        print_findings(found.findings)
    else:
        print("Nothing is wrong.")


def _row(rank: RankHealth) -> tuple[str, ...]:
    in_flight = "" if rank.waiting is None else f"in flight for {duration(rank.waiting)}: "
    return (
        str(rank.rank),
        str(rank.step),
        rank.phase or "—",
        duration(rank.in_phase),
        duration(rank.last_sign),
        "—" if rank.wait_share is None else f"{rank.wait_share:.0%}",
        in_flight + (rank.collective or "—"),
    )
