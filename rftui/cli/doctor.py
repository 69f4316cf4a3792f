"""`rft doctor`: can this machine train, and if not, what mends it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from diagnostics.doctor.check import Check, Result
from diagnostics.doctor.registry import all_checks
from diagnostics.doctor.runner import exit_code, run_checks
from diagnostics.doctor.select import selected
from diagnostics.doctor.this_host import ThisHost
from engine.config.sections import RunConfig
from engine.findings import EXIT_OK, Finding, Fix, raise_errors
from rftui.cli.columns import aligned
from rftui.cli.doctor_report import Progress, counts, show_results
from rftui.cli.options import AsJson, RunsDir, Sets, runs_folder

app = typer.Typer(add_completion=False)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Checks or categories: gpu.ecc net.")]


@app.command()
def doctor(
    context: typer.Context,
    ids: Ids = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also import packages, in child processes.")] = False,
    active: Annotated[bool, typer.Option("--active", help="Also use GPUs and network: all-reduce.")] = False,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="Also check for a run of this preset.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.yaml",
            exists=True,
            dir_okay=False,
            resolve_path=True,
            help="Also check for a run of this file.",
        ),
    ] = None,
    sets: Sets = None,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks and run none.")] = False,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Text for a bug report, without secrets.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Do what is safe and local; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
    runs_dir: RunsDir = None,
) -> None:
    """Check machine, network, software and, with a preset or file, the configuration of a run.

    Exit code 2: the configuration is wrong; 3: the environment is unfit, or something essential is unknown.
    """
    raise_errors(_conflicts(context))
    checks = selected(all_checks(), ids or (), deep=deep or list_checks, active=active or list_checks)
    if list_checks:
        print(_listed(checks, as_json=as_json))
        raise typer.Exit(EXIT_OK)
    folder = runs_folder(runs_dir)

    def look() -> tuple[ThisHost, tuple[Result, ...]]:
        host = ThisHost(folder, _configuration(preset, config, sets, folder))
        with Progress(checks) as progress:
            return host, run_checks(checks, host, progress.told)

    host, results = look()
    if fix:
        from rftui.cli.doctor_fix import mend

        if mend(results, host, config, ask=not yes):
            host, results = look()
    code = exit_code(results, strict=strict)
    if as_json:
        answer = {"results": results, "counts": counts(results), "exit": code}
        print(json.dumps(msgspec.to_builtins(answer)))  # in ASCII: paths may hold bytes that are no text
    elif report:
        from rftui.cli.doctor_paste import pasted

        print(pasted(results, host))
    else:
        show_results(results)
    raise typer.Exit(code)


def _configuration(
    preset: str | None, file: Path | None, sets: Sequence[str] | None, runs_dir: Path
) -> RunConfig | None:
    if not (preset or file or sets):
        return None
    from rftui.launch.intended import intended

    return intended(preset or (str(file) if file else ""), sets or (), runs_dir)


def _listed(checks: Sequence[Check], *, as_json: bool) -> str:
    if as_json:
        shown = [
            {"id": c.id, "title": c.title, "tier": c.tier, "needs": c.needs, "essential": c.essential}
            for c in checks
        ]
        return msgspec.json.encode({"checks": shown}).decode()
    rows = aligned([(check.id, check.tier, check.title) for check in checks])
    return "\n".join("  ".join(row).rstrip() for row in rows)


_WITH_LIST = ("ids", "list_checks", "as_json")
_TOGETHER = (("preset", "config"), ("report", "as_json"), ("report", "fix"))


def _conflicts(context: typer.Context) -> list[Finding]:
    """Options that exclude each other, or of which one takes the other's effect."""
    given: dict[str, Any] = {
        p.name: p for p in context.command.params if p.name and context.params.get(p.name)
    }
    flags = {name: parameter.opts[0] for name, parameter in given.items()}
    found = [_conflict(flags[a], flags[b]) for a, b in _TOGETHER if a in given and b in given]
    if "list_checks" in given:
        found += [_conflict(flags[name], "--list") for name in given if name not in _WITH_LIST]
    if "yes" in given and "fix" not in given:
        fix = Fix("give --fix as well, or leave it out")
        found.append(Finding("doctor.no-effect", "error", "--yes has no effect without --fix.", fixes=(fix,)))
    if "fix" in given and "yes" not in given and ("as_json" in given or not sys.stdin.isatty()):
        cause = "--fix asks before it does anything, and there is nobody to ask here."
        found.append(
            Finding(
                "doctor.nobody-to-ask",
                "error",
                cause,
                fixes=(Fix("agree beforehand", command="--fix --yes"),),
            )
        )
    return found


def _conflict(one: str, other: str) -> Finding:
    return Finding(
        "doctor.no-effect",
        "error",
        f"{one} and {other} cannot be given together.",
        fixes=(Fix(f"leave out {one}"), Fix(f"or leave out {other}")),
    )
