"""`rft plan --compare A B`: two presets, files or runs side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from engine.config.load import Layer, layer_from_yaml
from engine.config.registry import value_of
from engine.config.values import show
from engine.findings import EXIT_OK, EXIT_UNFIT, Finding, FindingsError, raise_errors
from engine.footprint.terms import PHASES
from rftui.cli.report import print_findings
from rftui.plan.ask import Subject, planned, preset_layers
from rftui.plan.result import Plan
from rftui.plan.values import PARTS, as_values
from rftui.plan.words import GB, duration, flag
from rftui.runs.rundir import RunDir, find

UNKNOWN = "not known"


def show_comparison(
    names: tuple[str, str],
    overrides: Sequence[Layer],
    subject: Subject,
    runs_dir: Path,
    *,
    as_is: bool,
    as_json: bool,
    price: float | None = None,
) -> NoReturn:
    """Plan both with the same overrides on the same machine, and print where they differ.

    Ends with 3 if one of them does not fit.
    """
    settings = _all_settings(names, runs_dir)
    plans = [planned([*layers, *overrides], subject, as_is=as_is or is_run) for layers, is_run in settings]
    if as_json:
        both = [{"name": name} | as_values(plan, price) for name, plan in zip(names, plans, strict=True)]
        print(msgspec.json.encode({"compare": both}).decode())
    else:
        Console(highlight=False).print(_table(names, plans, price))
        for plan in plans:
            print_findings(plan.findings)
    raise typer.Exit(EXIT_OK if all(plan.fits for plan in plans) else EXIT_UNFIT)


def _all_settings(names: Sequence[str], runs_dir: Path) -> list[tuple[list[Layer], bool]]:
    """Of each name, its settings and whether it is a run; raises FindingsError with all errors together."""
    found: list[tuple[list[Layer], bool]] = []
    errors: list[Finding] = []
    for name in names:
        try:
            found.append(_settings(name, runs_dir))
        except FindingsError as error:
            errors += error.findings
    raise_errors(errors)
    return found


def _settings(name: str, runs_dir: Path) -> tuple[list[Layer], bool]:
    """A preset or file is planned; a run is taken as it is."""
    try:
        return preset_layers(name), False
    except FindingsError as error:
        if error.findings[0].id != "preset.unknown":
            raise
        run = _run(runs_dir, name, error.findings[0])
        return [layer_from_yaml(run.config_path)], True


def _run(runs_dir: Path, name: str, no_preset: Finding) -> RunDir:
    """The run of that name; raises FindingsError that speaks of presets and runs."""
    try:
        return find(runs_dir, name)
    except FindingsError as error:
        (no_run,) = error.findings
        cause = f"{name!r} is no preset, no file and no run in {runs_dir}."
        fixes = (*no_preset.fixes, *no_run.fixes)
        finding = Finding("plan.unknown-name", "error", cause, no_preset.evidence, fixes)
        raise FindingsError([finding]) from None


def _table(names: tuple[str, str], plans: Sequence[Plan], price: float | None) -> Table:
    table = Table("", box=None, padding=(0, 3, 0, 0), show_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")

    def row(label: str, tell: Callable[[Plan], str]) -> None:
        told = [tell(plan) for plan in plans]
        table.add_row(label, *told, style="bold" if told[0] != told[1] else "dim")

    row("model", lambda plan: plan.job.shape.name)
    row("GPUs", lambda plan: f"{plan.job.place.ranks} × {plan.job.place.device.name}")
    row("fits", lambda plan: "yes" if plan.fits else "no")
    for phase in PHASES:
        row(f"{phase}, GB", lambda plan, phase=phase: _gb(plan, phase))  # type: ignore[misc]
    row("host, GB", lambda plan: f"{plan.footprint.host_bytes / GB:.1f}")
    row("checkpoints, GB", lambda plan: f"{plan.footprint.disk_bytes / GB:.1f}")
    for part in ("iteration", *PARTS):
        row(f"time of {part}", lambda plan, part=part: _time(plan, part))  # type: ignore[misc]
    row("tokens/s", lambda plan: f"{plan.times.tokens_per_s:,.0f}" if plan.times.calibrated else UNKNOWN)
    row("mean response", lambda plan: f"{plan.lengths.response:g}")
    if price is not None:
        row("USD", lambda plan: UNKNOWN if (cost := plan.cost(price)) is None else f"{cost:,.2f}")
    for key in _differing(plans):
        row(flag(key), lambda plan, key=key: show(value_of(plan.resolved.config, key)))  # type: ignore[misc]
    return table


def _gb(plan: Plan, phase: str) -> str:
    return next(f"{p.bytes / GB:.1f}" for p in plan.footprint.phases if p.phase == phase)


def _time(plan: Plan, part: str) -> str:
    return duration(getattr(plan.times, part)) if plan.times.calibrated else UNKNOWN


def _differing(plans: Sequence[Plan]) -> list[str]:
    """Parameters that were given or chosen in one of them and are not the same in both."""
    first, second = (plan.resolved for plan in plans)
    keys = dict.fromkeys([*first.sources, *second.sources])
    return [key for key in keys if value_of(first.config, key) != value_of(second.config, key)]
