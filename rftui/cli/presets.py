"""`rft presets`: what there is to start from, and what this version does not have yet."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from engine.config.features import not_built
from engine.config.yamlfile import dump_scalar
from engine.findings import FindingsError
from presets import loader
from rftui.cli.columns import GAP, aligned
from rftui.cli.options import AsJson

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def presets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the presets: ours, and the YAML files in the user's presets folder."""
    if context.invoked_subcommand is not None:
        return
    rows = [_row(name) for name in loader.names()]
    if as_json:
        _print_json({"presets": rows, "user_dir": str(loader.user_dir())})
        return
    _print_table(
        [
            (
                row["name"],
                row.get("origin", ""),
                row.get("task", ""),
                row.get("title") or f"not usable: {row['error']}",
            )
            for row in rows
        ]
    )
    typer.echo(f"\nStart one: rft launch NAME. Your own go to {loader.user_dir()}")


@app.command()
def show(name: str, as_json: AsJson = False) -> None:
    """Show what a preset sets; NAME may be a YAML file."""
    preset = loader.load(name)
    if preset.layer.findings:
        raise FindingsError(preset.layer.findings)
    if as_json:
        described = {
            field: getattr(preset, field) for field in ("name", "title", "task", "description", "needs")
        }
        _print_json({**described, "path": str(preset.path), "values": preset.layer.values})
        return
    typer.echo(f"{preset.name}: {preset.title}\n{preset.path}")
    if preset.description:
        typer.echo(f"\n{preset.description.strip()}")
    if preset.needs:
        typer.echo(f"\nneeds from you: {', '.join('--' + key.partition('.')[2] for key in preset.needs)}")
    typer.echo("")
    _print_table([(key, dump_scalar(value)) for key, value in preset.layer.values.items()])


@app.command()
def features(as_json: AsJson = False) -> None:
    """List the parameters and values that are not available in this version."""
    listed = not_built()
    if as_json:
        _print_json({"not_available": [feature._asdict() for feature in listed]})
        return
    typer.echo("Not available in this version (refused, never ignored):\n")
    _print_table([(feature.param, feature.values, feature.help) for feature in listed])


def _row(name: str) -> dict[str, Any]:
    """What the list says of a preset; a broken file does not hide the others."""
    try:
        preset = loader.load(name)
    except FindingsError as error:
        return {"name": name, "error": error.findings[0].cause}
    if preset.layer.findings:
        return {"name": name, "error": preset.layer.findings[0].cause}
    about = {field: getattr(preset, field) for field in ("title", "task", "origin", "description", "needs")}
    return {"name": name, **about}


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    for cells in aligned(rows):
        typer.echo(GAP.join(cells).rstrip())


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
