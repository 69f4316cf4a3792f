"""`rft runs` lists runs; `show` tells all about one, `note` and `tag` annotate it, `delete` removes it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from engine.findings import EXIT_BAD_INPUT, FindingsError
from rftui.cli.columns import GAP, aligned, terminal_width, use_colour
from rftui.cli.options import AsJson, RunsDir, runs_folder
from rftui.runs import notes
from rftui.runs.listing import RunSummary, list_runs, summarize
from rftui.runs.rundir import RunDir, find
from rftui.tui.text import clean_line, duration, number, size

if TYPE_CHECKING:
    from engine.config.load import Resolved

app = typer.Typer(add_completion=False)

COLOURS = {
    "launching": "cyan",
    "running": "green",
    "stalled": "yellow",
    "finished": "green",
    "stopped": "cyan",
    "failed": "red",
    "lost": "red",
    "unreadable": "red",
}


@app.callback(invoke_without_command=True)
def runs(context: typer.Context, runs_dir: RunsDir = None, as_json: AsJson = False) -> None:
    """List runs with status, step, reward and age, newest first; `show NAME` tells all about one."""
    if context.invoked_subcommand is not None:
        context.obj = (runs_dir, as_json)
        return
    folder, now = runs_folder(runs_dir), time.time()
    summaries = list_runs(folder, now)
    if as_json:
        _print_json([_as_values(summary, now) for summary in summaries])
    elif summaries:
        _print_table(summaries, now)
    else:
        print(f"No runs in {folder} yet.\n  start one:          rft launch quickstart")
        print("  look elsewhere:     rft runs --runs-dir DIR, or set RFTUI_RUNS_DIR")


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, or path to its folder.")],
    runs_dir: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a run's facts, how its ranks ended, its checkpoints, and its settings that are no defaults."""
    outer_dir, outer_json = context.obj
    run = find(runs_folder(runs_dir or outer_dir), name)
    facts = _facts(run)
    if as_json or outer_json:
        _print_json(facts)
    else:
        _print_facts(facts)


@app.command()
def note(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, or path to its folder.")],
    text: Annotated[list[str], typer.Argument(help="The note; '' removes it.")],
    runs_dir: RunsDir = None,
) -> None:
    """Write a note about a run, in place of the one it has."""
    run = _named(context, runs_dir, name)
    print(f"{run.name}: {notes.write_text(run, ' '.join(text)).text or 'no note'}")


@app.command()
def tag(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, or path to its folder.")],
    tags: Annotated[
        list[str] | None, typer.Argument(help="All tags that it is to have; none removes them.")
    ] = None,
    runs_dir: RunsDir = None,
) -> None:
    """Set the tags of a run, in place of those it has."""
    run = _named(context, runs_dir, name)
    print(f"{run.name}: {' '.join(notes.write_tags(run, tags or ()).tags) or 'no tags'}")


@app.command()
def delete(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, or path to its folder.")],
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a run's folder, after its name was typed; never one that goes on."""
    from rftui.runs.delete import contents, delete

    run = _named(context, runs_dir, name)
    held = contents(run.path)
    if not yes:
        print(f"{run.path}: {size(held.bytes)} in {held.files} files will be gone for good.")
        if typer.prompt("Type its name to delete it", default="", show_default=False) != run.name:
            print("not deleted")
            raise typer.Exit(EXIT_BAD_INPUT)
    print(f"{run.name} is deleted: {size(delete(run).bytes)} are free again")


def _named(context: typer.Context, runs_dir: Path | None, name: str) -> RunDir:
    outer_dir, _ = context.obj
    return find(runs_folder(runs_dir or outer_dir), name)


def _as_values(summary: RunSummary, now: float) -> dict[str, Any]:
    return summary._asdict() | {"path": str(summary.path), "age": round(now - summary.created, 1)}


def _print_json(value: Any) -> None:
    print(msgspec.json.encode(value).decode())


def _print_table(summaries: list[RunSummary], now: float) -> None:
    rows = [("name", "status", "step", "reward", "age", "preset")]
    for run in summaries:
        rows.append(
            (
                clean_line(run.name),
                run.status,
                f"{run.step}/{run.total_steps}" if run.total_steps else str(run.step or "—"),
                "—" if run.reward is None else number(run.reward),
                duration(max(0.0, now - run.created)),
                clean_line(run.preset),
            )
        )
    for cells in aligned(rows, right=(2, 3, 4), width=terminal_width()):
        cells[1] = _coloured(cells[1])
        print(GAP.join(cells).rstrip())
    for run in summaries:
        if run.problem:
            print(clean_line(run.problem))


def _coloured(status: str) -> str:
    colour = COLOURS.get(status.strip())
    return typer.style(status, colour) if colour and use_colour() else status


def _facts(run: RunDir) -> dict[str, Any]:
    """Everything `show` tells, as plain values."""
    from engine.config.load import load_resolved

    info = run.read_info()
    summary = summarize(run, time.time())
    resolved, problem = None, ""
    try:
        resolved = load_resolved(run.config_path)
    except FindingsError as error:
        problem = error.findings[0].cause
    return {
        **msgspec.to_builtins(info),
        "path": str(run.path),
        "status": summary.status,
        "steps": summary.step,
        "total_steps": summary.total_steps,
        "reward": summary.reward,
        "checkpoints": _checkpoints(run, resolved),
        "memory": _memory(run),
        "changes": _changes(resolved) if resolved else problem,
    }


def _checkpoints(run: RunDir, resolved: "Resolved | None") -> list[dict[str, Any]]:
    """Complete checkpoints by step, where the configuration has them saved."""
    from engine.checkpoint.layout import complete_steps
    from rftui.launch.resume import saved_steps

    found = saved_steps(run, resolved.config) if resolved else complete_steps(run.checkpoints_dir)
    return [
        {"step": step, "path": str(path), "bytes": _size(path), "t": path.stat().st_mtime}
        for step, path in found.items()
    ]


def _memory(run: RunDir) -> list[dict[str, Any]]:
    """Predicted and measured memory per phase, where the run was planned."""
    from rftui.runs.view import RunView

    if not run.plan_path.is_file():
        return []
    return [line._asdict() | {"ratio": round(line.ratio, 3)} for line in RunView(run).load().compared]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _changes(resolved: "Resolved") -> dict[str, dict[str, Any]]:
    """`section.key` → value and source of what is not a default."""
    sections = resolved.config.model_dump()
    found = {}
    for key, source in sorted(resolved.sources.items()):
        section, _, name = key.partition(".")
        found[key] = {"value": sections[section][name], "source": source}
    return found


def _print_facts(facts: dict[str, Any]) -> None:
    now = time.time()

    def line(label: str, value: Any) -> None:
        print(f"{label:<12} {clean_line(str(value))}")

    print(clean_line(facts["name"]), _coloured(facts["status"]), sep=GAP)
    line("folder", facts["path"])
    line("preset", facts["preset"] or "—")
    line("step", f"{facts['steps']} of {facts['total_steps'] or '?'}, reward {number(facts['reward'])}")
    line("created", f"{_when(facts['created'])} ({duration(max(0.0, now - facts['created']))} ago)")
    if facts["started"]:
        took = (facts["ended"] or now) - facts["started"]
        line("started", f"{_when(facts['started'])}, attempt {facts['attempt']}, {duration(took)}")
    line("ranks", f"{facts['nproc']} on {facts['host']}")
    for label in ("versions", "git"):
        if facts[label]:
            line(label, ", ".join(f"{key} {value}" for key, value in facts[label].items()))
    if facts["command"]:
        line("command", " ".join(facts["command"]))
    if facts["exit"]:
        line("cause", facts["exit"]["cause"])
        for rank, said in sorted(facts["exit"].get("ranks", {}).items(), key=lambda item: item[0].zfill(6)):
            line(f"  rank {rank}", said)
    for warning in facts["warnings"]:
        line("warning", f"{warning['id']}: {warning['cause']}")
    for checkpoint in facts["checkpoints"]:
        line(
            "checkpoint", f"step {checkpoint['step']}, {size(checkpoint['bytes'])}, {_when(checkpoint['t'])}"
        )
    for phase in facts["memory"]:
        predicted, measured = size(phase["predicted"]), size(phase["measured"])
        line(
            "memory", f"{phase['phase']}: predicted {predicted}, measured {measured} (× {phase['ratio']:.2f})"
        )
    if isinstance(facts["changes"], str):
        line("settings", facts["changes"])
        return
    for key, change in facts["changes"].items():
        line("setting", f"{key} = {change['value']}  ({change['source']})")


def _when(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t))
