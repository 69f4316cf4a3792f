"""`rft plan`: what fits on the GPUs, what it needs, how long it takes; nothing is started."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.findings import EXIT_OK, EXIT_UNFIT, raise_errors
from rftui.cli.attend import PARAMETERS, override_layers
from rftui.cli.no_effect import without_effect
from rftui.cli.options import AsJson, RunsDir, Sets, runs_folder
from rftui.cli.report import print_findings
from rftui.plan import simulation
from rftui.plan.ask import Subject, planned, preset_layers
from rftui.plan.values import as_values
from rftui.plan.writing import not_written, write_preset

app = typer.Typer(add_completion=False)


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value:g} is not a finite number.")
    return value


@app.command(context_settings=PARAMETERS, options_metavar="[PRESET] [OPTIONS]")
def plan(
    context: typer.Context,
    gpus: Annotated[
        str | None, typer.Option("--gpus", metavar="8xA100-80", help="Plan for these; default: this machine.")
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Machines with --gpus each.")] = 1,
    host_memory: Annotated[
        float | None,
        typer.Option("--host-memory", min=1, metavar="GB", callback=_finite, help="RAM of one machine."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="7B", help="A typical model of this size.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Change nothing: does exactly this configuration fit?")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Two presets, YAML files or runs, side by side."),
    ] = None,
    response_len: Annotated[
        float | None,
        typer.Option(
            "--response-len", min=1, metavar="TOKENS", callback=_finite, help="Mean length of responses."
        ),
    ] = None,
    dataset_size: Annotated[
        int | None, typer.Option("--dataset-size", min=1, metavar="N", help="Number of training prompts.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            "--price", min=0, metavar="USD", callback=_finite, help="Of one GPU and hour; tells the cost."
        ),
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            "--simulate", min=1, max=1024, metavar="N", help="Run the real engine on N ranks without memory."
        ),
    ] = None,
    case: Annotated[
        Path | None, typer.Option("--case", metavar="FILE.jsonl", help="Answer published configurations.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="FILE.yaml", help="Write the plan as a preset.")
    ] = None,
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
    sets: Sets = None,
) -> None:
    """Choose what fits and is fast; exit code 3 if nothing does.

    PRESET is the name of a preset or a YAML file; without one, all is at its defaults.
    Every parameter is an option, and stays as given: --pretrain NAME --engine-tp-size 2 --max-len 8192 …
    """
    raise_errors(without_effect(context))
    if case is not None:
        from rftui.cli.cases import answer_cases

        answer_cases(case, as_json=as_json)
    named = context.args[:1] if context.args and not context.args[0].startswith("-") else []
    overrides = override_layers(context.args[len(named) :], sets)
    subject = Subject(
        gpus, nodes, int(host_memory * 1e9) if host_memory else None, params, response_len, dataset_size
    )
    if compare is not None:
        from rftui.cli.comparing import show_comparison

        show_comparison(
            compare, overrides, subject, runs_folder(runs_dir), as_is=as_is, as_json=as_json, price=price
        )
    found = planned([*preset_layers(*named), *overrides], subject, as_is=as_is)
    if write is not None and found.fits:
        write_preset(found, write, *named)
    elif write is not None:
        found = replace(found, findings=(*found.findings, not_written(write)))
    if not as_json:
        from rftui.cli.planned import show_plan, show_simulation

        show_plan(found, price)
        print_findings(found.findings)
    simulated = None if simulate is None else simulation.simulate(found, simulate, params)
    agreed = simulation.agreements(found, simulate, simulated) if simulate and simulated else []
    if as_json:
        values = as_values(found, price)
        if simulated is not None:
            values |= {
                "simulated": simulated,
                "agreement": [a._asdict() | {"agrees": a.agrees} for a in agreed],
            }
        typer.echo(msgspec.json.encode(values).decode())
    elif simulate is not None:
        show_simulation(simulate, agreed)
    raise typer.Exit(EXIT_OK if found.fits else EXIT_UNFIT)
