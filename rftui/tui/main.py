"""The console script `rftui`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine.findings import FindingsError
from rftui.runs.rundir import default_runs_dir, find
from rftui.tui.settings import settings_with

LAST_PORT = 65535


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """`rftui [NAME] [--runs-dir DIR] [--readonly] [--slow] [--web]`; findings become the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.web and (options.host or options.port is not None or options.no_token):
        parser.error("--host, --port and --no-token go with --web")
    try:
        sys.exit(_run(options))
    except FindingsError as error:
        from rftui.cli.report import print_findings

        print_findings(error.findings)
        sys.exit(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rftui", description="Presets, runs and this machine.")
    parser.add_argument("name", nargs="?", help="the run to open; without it, the home screen")
    parser.add_argument("--runs-dir", type=Path, help="folder of runs (default: $RFTUI_RUNS_DIR or ./runs)")
    parser.add_argument("--readonly", action="store_true", help="launch, stop, delete, mend, write nothing")
    parser.add_argument("--slow", action="store_true", help="for slow lines: charts every 5 seconds only")
    parser.add_argument("--web", action="store_true", help="serve it to a browser")
    parser.add_argument("--host", help="with --web: the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="with --web: the port (default: any that is free)")
    parser.add_argument("--no-token", action="store_true", help="with --web: let in whoever can connect")
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"0 to {LAST_PORT}, not {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    runs_dir = options.runs_dir or default_runs_dir()
    settings = settings_with(readonly=options.readonly, slow=options.slow)
    run = find(runs_dir, options.name) if options.name else None
    if options.web:
        from rftui.tui.web import serve

        arguments = [*([options.name] if options.name else []), "--runs-dir", str(runs_dir.absolute())]
        arguments += [f"--{flag}" for flag in ("readonly", "slow") if getattr(options, flag)]
        return serve(arguments, options.host or "127.0.0.1", options.port or 0, token=not options.no_token)
    from rftui.tui.start import start

    return start(runs_dir, run, settings)


if __name__ == "__main__":
    main()
