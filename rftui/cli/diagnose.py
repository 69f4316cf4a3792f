"""`rft diagnose`: name the cause of a failure from its logs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from diagnostics.knowledge.diagnosis import Diagnosis
from diagnostics.knowledge.sources import Unreadable
from engine.findings import EXIT_BAD_INPUT, EXIT_OK, EXIT_RUN_FAILED, Finding, raise_errors
from rftui.cli.diagnosed import print_causes, print_diagnosis
from rftui.cli.options import RunsDir, runs_folder
from rftui.runs.rundir import RunDir

app = typer.Typer(add_completion=False)


@app.command()
def diagnose(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH…",
            help="A log (also gz, bz2, xz, zst), a folder of rank logs, a run or its name, - for stdin.",
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
    hang: Annotated[
        str | None, typer.Option("--hang", metavar="NAME", help="A run that is on: what it waits for, now.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Name the cause of a failure: ranked causes, the lines that show them, and what to do, in order.

    Exit code 0 where nothing failed, 1 where a failure was found, 2 where a PATH could not be read.
    """
    language = lang or _language()
    asked = {"PATH": bool(paths), "--hang": hang is not None, "--list-causes": list_causes}
    raise_errors(_conflicts([name for name, given in asked.items() if given], paths or [], verbose))
    if list_causes:
        print_causes(language, as_json=as_json)
        return
    if hang is not None:
        from rftui.cli.hang import diagnose_hang

        raise typer.Exit(diagnose_hang(runs_folder(runs_dir), hang, language, as_json=as_json))
    places = [_place(path, runs_folder(runs_dir)) for path in paths or ()]
    raise typer.Exit(max(_one(place, language, as_json, verbose) for place in places))


def _place(path: str, runs: Path) -> str:
    """The PATH, or the directory of a run of this name."""
    run = runs / path
    return str(run) if not Path(path).exists() and (run / "run.json").is_file() else path


def _one(path: str, lang: Literal["en", "zh"], as_json: bool, verbose: bool) -> int:
    try:
        diagnosis = _look(path, lang)
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


def _look(path: str, lang: Literal["en", "zh"]) -> Diagnosis:
    """The diagnosis; that of a run has fixes with values that would fit it."""
    run = RunDir(Path(path))
    if run.info_path.is_file():
        from rftui.launch.postmortem import examine

        return examine(run, lang)
    from diagnostics.knowledge.diagnose import diagnose

    return diagnose(path, lang)


def _print_json(diagnosis: Diagnosis) -> None:
    shown = msgspec.to_builtins(diagnosis)
    shown.setdefault("findings", [])
    sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    sys.stdout.flush()


def _language() -> Literal["en", "zh"]:
    said = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "zh" if said.lower().startswith("zh") else "en"


def _conflicts(asked: list[str], paths: list[str], verbose: bool) -> Iterator[Finding]:
    """What makes no sense together. `asked`: which of PATH, --hang and --list-causes were given."""
    if not asked:
        yield _wrong(
            "no-path",
            "nothing to diagnose was given: name a log, a folder of logs, a run directory, or - for standard "
            "input.",
        )
    elif len(asked) > 1:
        yield _wrong("two-things", f"{' and '.join(asked)} were given, and only one can be answered.")
    elif verbose and asked != ["PATH"]:
        yield _wrong("no-effect", f"--verbose has no effect with {asked[0]}.")
    if paths.count("-") > 1:
        yield _wrong("stdin-twice", "- was given twice, and standard input can be read only once.")


def _wrong(id: str, cause: str) -> Finding:
    return Finding(id=f"diagnose.{id}", severity="error", cause=cause)
