"""The terminal program `rftui`: the list of runs, and the live view of each."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NoReturn

from rich.text import Text
from textual.app import App
from textual.binding import BindingType

from engine.findings import FindingsError
from rftui.runs.rundir import RunDir, default_runs_dir, find
from rftui.tui.keys import APP_KEYS, Key, bindings
from rftui.tui.screens.help import HelpScreen
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.picker import PickerScreen
from rftui.tui.themes import DARK, DEFAULTS, THEMES


class RftuiApp(App[None]):
    """Opens on a run when one is given, else on the list of runs."""

    TITLE = "rftui"
    BINDINGS: ClassVar[list[BindingType]] = bindings(APP_KEYS)

    def __init__(self, runs_dir: Path, run: RunDir | None = None) -> None:
        super().__init__()
        self.runs_dir = runs_dir
        self.first_run = run
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own colours in themes that do not define them."""
        return DEFAULTS

    def on_mount(self) -> None:
        """Open the first screen."""
        if self.first_run is None:
            self.push_screen(PickerScreen(self.runs_dir))
        else:
            self.push_screen(LiveScreen(self.first_run))

    def action_leave(self) -> None:
        """End the program, and say that the run goes on without it."""
        screen = self.screen
        message = None
        if isinstance(screen, LiveScreen) and screen.snapshot is not None and screen.snapshot.active:
            name = screen.run_dir.name
            where = "" if self.runs_dir == default_runs_dir() else f" --runs-dir {self.runs_dir}"
            message = Text(
                f"{name} keeps running\n  watch: rft watch {name}{where}\n  stop:  rft stop {name}{where}"
            )
        self.exit(message=message)

    def action_help(self) -> None:
        """Show the keys of this screen."""
        keys: tuple[Key, ...] = getattr(self.screen, "KEYS", ())
        self.push_screen(HelpScreen((*keys, *APP_KEYS)))

    def action_next_theme(self) -> None:
        """Next of our themes."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]

    def action_open_picker(self) -> None:
        """Back to the list of runs."""
        self.switch_screen(PickerScreen(self.runs_dir))


def run_app(runs_dir: Path, run: RunDir | None = None) -> int:
    """Show the program until it is left; its exit code."""
    app = RftuiApp(runs_dir, run)
    app.run()
    return app.return_code or 0


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The console script: `rftui [NAME] [--runs-dir DIR]`."""
    parser = argparse.ArgumentParser(prog="rftui", description="Look at runs: all of them, or one live.")
    parser.add_argument("name", nargs="?", help="the run to open; without it, the list of runs")
    parser.add_argument("--runs-dir", type=Path, help="folder of runs (default: $RFTUI_RUNS_DIR or ./runs)")
    options = parser.parse_args(argv)
    runs_dir = options.runs_dir or default_runs_dir()
    try:
        run = find(runs_dir, options.name) if options.name else None
    except FindingsError as error:
        from rftui.cli.report import print_findings

        print_findings(error.findings)
        sys.exit(error.exit_code)
    sys.exit(run_app(runs_dir, run))
