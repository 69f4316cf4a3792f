"""The console script `rftui`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine.findings import FindingsError
from rftui.runs.rundir import default_runs_dir, find
from rftui.tui.settings import read_settings


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """`rftui [NAME] [--runs-dir DIR]`."""
    parser = argparse.ArgumentParser(prog="rftui", description="Presets, runs and this machine.")
    parser.add_argument("name", nargs="?", help="the run to open; without it, the home screen")
    parser.add_argument("--runs-dir", type=Path, help="folder of runs (default: $RFTUI_RUNS_DIR or ./runs)")
    options = parser.parse_args(argv)
    runs_dir = options.runs_dir or default_runs_dir()
    try:
        settings = read_settings()
        run = find(runs_dir, options.name) if options.name else None
    except FindingsError as error:
        from rftui.cli.report import print_findings

        print_findings(error.findings)
        sys.exit(error.exit_code)
    from rftui.tui.start import start

    sys.exit(start(runs_dir, run, settings=settings))


if __name__ == "__main__":
    main()
