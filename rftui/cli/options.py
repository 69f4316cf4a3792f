"""Options that several verbs share. Imports nothing heavy."""

from pathlib import Path
from typing import Annotated

import typer

from rftui.runs.rundir import default_runs_dir

RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Folder of runs; default $RFTUI_RUNS_DIR, else ./runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable: the last line of output is JSON.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set section.key=value.")]

Readonly = Annotated[
    bool, typer.Option("--readonly", help="On the screen: launch, stop, delete, mend, write nothing.")
]
Slow = Annotated[
    bool, typer.Option("--slow", help="On the screen, for slow lines: charts every 5 seconds only.")
]


def runs_folder(given: Path | None) -> Path:
    """The folder of runs to work in."""
    return given if given is not None else default_runs_dir()
