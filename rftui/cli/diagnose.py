"""`rft diagnose`: name the cause of a failure from its logs."""

import os
import sys
from typing import Annotated, Literal

import msgspec
import typer

from diagnostics.knowledge.diagnosis import Diagnosis
from diagnostics.knowledge.sources import Unreadable
from engine.findings import EXIT_BAD_INPUT, EXIT_OK, EXIT_RUN_FAILED, Finding, FindingsError
from rftui.cli.diagnosed import print_causes, print_diagnosis

app = typer.Typer(add_completion=False)


@app.command()
def diagnose(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…",
            help="A log (also gz, bz2, xz, zst), a folder of rank logs, a run directory, - for stdin.",
        ),
    ] = None,
    lang: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Language of texts; by default that of $LANG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per PATH, a line each.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what was ruled out, and why.")
    ] = False,
    list_causes: Annotated[
        bool, typer.Option("--list-causes", help="List the causes that are known.")
    ] = False,
) -> None:
    """Name the cause of a failure: ranked causes, the lines that show them, and what to do, in order.

    Exit code 0 where nothing failed, 1 where a failure was found, 2 where a PATH could not be read.
    """
    language = lang or _language()
    if list_causes:
        print_causes(language, as_json=as_json)
        return
    if not paths:
        raise FindingsError([_no_path()])
    codes = [_one(path, language, as_json, verbose) for path in paths]
    raise typer.Exit(max(codes))


def _one(path: str, lang: Literal["en", "zh"], as_json: bool, verbose: bool) -> int:
    from diagnostics.knowledge.diagnose import diagnose as look

    try:
        diagnosis = look(path, lang)
    except Unreadable as error:
        if as_json:
            _print_json(Diagnosis(path=path, notes=(str(error),)))
        print(f"error diagnose.unreadable: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if as_json:
        _print_json(diagnosis)
    else:
        print_diagnosis(diagnosis, lang, verbose=verbose)
    return EXIT_RUN_FAILED if diagnosis.findings else EXIT_OK


def _print_json(diagnosis: Diagnosis) -> None:
    shown = msgspec.to_builtins(diagnosis)
    shown.setdefault("findings", [])
    sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    sys.stdout.flush()


def _language() -> Literal["en", "zh"]:
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if said.lower().startswith("zh") else "en"


def _no_path() -> Finding:
    return Finding(
        id="diagnose.no-path",
        severity="error",
        cause="nothing to diagnose was given: name a log, a folder of logs, a run directory, or - for "
        "standard input.",
    )
