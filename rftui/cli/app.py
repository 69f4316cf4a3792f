"""The program `rft`. A verb's module is imported only when it runs, so help and completion are instant."""

import importlib
import importlib.metadata
import sys
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from engine.findings import EXIT_INTERRUPTED, FindingsError


class Verb(NamedTuple):
    """Where a verb lives (a module with a Typer `app`), and its line in `rft --help`."""

    module: str
    help: str


VERBS = {
    "plan": Verb("rftui.cli.plan", "Choose what fits the GPUs and is fast; say what it needs."),
    "launch": Verb("rftui.cli.launch", "Start a run from a preset or a YAML file."),
    "doctor": Verb("rftui.cli.doctor", "Check that this machine can train; say what mends it."),
    "check": Verb("rftui.cli.check", "Lint a configuration, ours or another trainer's."),
    "diagnose": Verb("rftui.cli.diagnose", "Name the cause of a failure or hang from logs, dumps, a run."),
    "health": Verb("rftui.cli.health", "Say what is wrong with a run now."),
    "runs": Verb("rftui.cli.runs", "List runs with status, step, reward and age."),
    "watch": Verb("rftui.cli.watch", "Watch a run live, or look at one that has ended."),
    "replay": Verb("rftui.cli.replay", "Play a finished run as if it happened now."),
    "checkpoint": Verb("rftui.cli.checkpoint", "Save a run after its present step; it goes on."),
    "stop": Verb("rftui.cli.stop", "Stop a run after its present step, with a checkpoint."),
    "resume": Verb("rftui.cli.resume", "Continue a run from its last checkpoint."),
    "export": Verb("rftui.cli.export", "Write a checkpoint as a Hugging Face model folder."),
    "presets": Verb("rftui.cli.presets", "Show the presets, and what this version cannot do yet."),
    "reward": Verb("rftui.cli.reward", "Try rewards on recorded responses."),
}


class LazyVerbs(TyperGroup):
    """A command group that knows its verbs' names and help, and imports one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of use."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What help and completion need of a verb, without importing it."""
        return TyperCommand(cmd_name, help=VERBS[cmd_name].help) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str, Any, list[str]]:
        """Import the verb that is to run; an unknown one is a usage error naming the nearest."""
        name = args[0]
        if name not in VERBS:
            import difflib

            near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0)[0]
            ctx.fail(f"there is no verb {name!r}; did you mean {near!r}?")
        command = typer.main.get_command(importlib.import_module(VERBS[name].module).app)
        return name, command, args[1:]


app = typer.Typer(cls=LazyVerbs, no_args_is_help=True, pretty_exceptions_show_locals=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rft {importlib.metadata.version('rftui')}")
        raise typer.Exit


@app.callback()
def rft(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reinforcement fine-tuning of language models: launch runs, watch them, understand what goes wrong."""


def main() -> NoReturn:
    """Run `rft` with the program's arguments; findings are printed and become the exit code."""
    try:
        app(prog_name="rft")
    except FindingsError as error:
        from rftui.cli.report import print_findings

        print_findings(error.findings, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
