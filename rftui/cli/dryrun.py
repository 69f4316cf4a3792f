"""What `rft launch --dry-run` shows: the resolved configuration, the batch arithmetic, the exact command."""

import os
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from diagnostics.preflight import free_port
from engine.config.choices import choice_words
from engine.config.registry import value_of
from engine.config.rules import batch_words
from engine.config.values import show as show_text
from rftui.cli.report import print_findings
from rftui.launch.command import rank_command
from rftui.launch.prepare import Prepared
from rftui.plan.result import Plan
from rftui.plan.values import as_values
from rftui.plan.words import GB, flag
from rftui.runs.rundir import RunDir, auto_name


def show(prepared: Prepared, runs_dir: Path, name: str | None, cores: int, *, as_json: bool) -> None:
    """Print what a launch would do, as text or as one JSON object."""
    config, sources = prepared.resolved.config, prepared.resolved.sources
    run = RunDir(runs_dir.resolve() / (name or auto_name(prepared.preset)))
    command = rank_command(
        run.path,
        nproc=prepared.nproc,
        master_port=config.parallel.master_port or free_port(),
        cores=cores,
        resume=False,
        environ=os.environ,
    )
    batch, choice = batch_words(config, world_size=prepared.nproc), choice_words(config)
    changed = {key: (value_of(config, key), source) for key, source in sources.items()}
    if as_json:
        described = {
            "config": config.model_dump(mode="json"),
            "sources": sources,
            "nproc": prepared.nproc,
            "batch": batch,
            "choice": choice,
            "command": command.argv,
            "env": command.env,
            "findings": prepared.warnings,
            "plan": as_values(prepared.plan) if prepared.plan else None,
        }
        print(msgspec.json.encode(described).decode())
        return
    table = Table("parameter", "value", "from", box=None, padding=(0, 2, 0, 0))
    for key, (value, source) in changed.items():
        table.add_row(key, Text(str(value)), source)  # a template may hold [brackets]
    console = Console(soft_wrap=True, highlight=False)
    console.print("Configuration (all others are defaults)", style="bold")
    console.print(table)
    console.print("\nBatches", style="bold")
    console.print(batch, markup=False)
    console.print("\nStrategy and engine", style="bold")
    console.print(choice, markup=False)
    if prepared.plan is not None:
        console.print("\nPlan", style="bold")
        for line in _plan_lines(prepared.plan):
            console.print(line, markup=False)
    console.print(
        "\nCommand" + ("" if config.parallel.master_port else " (the port is chosen at the start)"),
        style="bold",
    )
    console.print(command.shell(), markup=False)
    print_findings(prepared.warnings)


def _plan_lines(plan: Plan) -> list[str]:
    """What is needed, phase by phase, and why each value was chosen."""
    free = plan.job.place.free
    phases = ", ".join(f"{phase.phase} {phase.bytes / GB:.1f}" for phase in plan.footprint.phases)
    lines = [f"GB of {free / GB:.1f} on each rank: {phases}"]
    lines += [
        f"{flag(key)} = {show_text(value)}: {plan.reasons[key]}"
        for key, value in plan.chosen.items()
        if key in plan.reasons
    ]
    return lines
