"""What `launch` and `resume` share: their options, and staying with a run, or not."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import msgspec
import typer

from engine.config.load import Layer, layer_from_flags, layer_from_sets
from engine.findings import EXIT_INTERRUPTED
from rftui.cli.report import print_findings
from rftui.launch import outcome
from rftui.launch.progress import Progress
from rftui.launch.start import start_detached, start_foreground
from rftui.runs import diagnosis
from rftui.runs.rundir import RunDir

PARAMETERS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of a verb that takes `--parameter value` for every parameter."""

Foreground = Annotated[
    bool, typer.Option("--foreground", help="Stay in this process: Ctrl-C stops the run, twice kills it.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follow the run to its end; the exit code is the run's.")]


def override_layers(flags: Sequence[str], sets: Sequence[str] | None, source: str = "") -> list[Layer]:
    """What was given on the command line; `--set` wins over flags. `source` replaces "flag" and "--set"."""
    return [layer_from_flags(flags, source or "flag"), layer_from_sets(sets or (), source or "--set")]


def attend(
    run: RunDir,
    *,
    verb: str,
    hint: str,
    foreground: bool,
    wait: bool,
    as_json: bool,
    lock_fd: int | None = None,
) -> NoReturn:
    """Start the run's supervisor and stay as asked; ends the program with the run's exit code.

    `verb`: how it was set going. `hint`: options that later commands need to find this run.
    """
    out = sys.stderr if as_json else sys.stdout

    def say(line: str) -> None:
        print(line, file=out, flush=True)

    info = run.read_info()
    progress = Progress(run, say, since=time.time())
    ranks = f"{info.nproc} rank" + ("s" if info.nproc > 1 else "")
    say(f"{verb} {run.name} ({ranks}) in {run.path}")
    if foreground:
        code = start_foreground(run, progress.poll, lock_fd)
        progress.finish()
    else:
        start_detached(run, lock_fd=lock_fd)
        if not wait:
            say(f"  watch: rft watch {run.name}{hint}\n  stop:  rft stop {run.name}{hint}")
            if as_json:
                _print_json({"name": run.name, "path": str(run.path), "status": "launching"})
            raise typer.Exit(0)
        code = _wait(run, progress, say, hint)
    _sum_up(run, progress, as_json)
    raise typer.Exit(code)


def _wait(run: RunDir, progress: Progress, say: Callable[[str], None], hint: str) -> int:
    try:
        status = progress.wait()
    except KeyboardInterrupt:
        say(f"\n{run.name} goes on; watch: rft watch {run.name}{hint}   stop: rft stop {run.name}{hint}")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    return outcome.exit_code(run, status)


def _sum_up(run: RunDir, progress: Progress, as_json: bool) -> None:
    result = progress.result()
    for error in outcome.read_errors(run):
        if error.findings:
            print_findings(error.findings)
            break
    if as_json:
        _print_json(result)
        return
    cause = f": {result['cause']}" if "cause" in result else ""
    print(f"{run.name} {result['status']} after {result['steps']} steps, {result['seconds']:.0f} s{cause}")
    if result["status"] in ("failed", "lost"):
        print(f"  logs: {run.logs_dir}")
        _print_diagnosis(run, cause)


def _print_diagnosis(run: RunDir, said: str) -> None:
    """What is most likely wrong, and how to go on."""
    found = diagnosis.read(run)
    if found is None or not found.findings:
        return
    if found.findings[0].title not in said:
        print(f"  cause: {found.findings[0].title}")
    print(f"  more:  rft diagnose {run.path}")
    if diagnosis.applicable(found):
        print(f"  go on with the settings that it proposes: rft resume {run.name} --apply-fix")


def _print_json(value: object) -> None:
    print(msgspec.json.encode(value).decode(), flush=True)
