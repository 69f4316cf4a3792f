"""Starts the program in this terminal: the environment that Textual reads as it is imported, then the app."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from rftui.runs.rundir import RunDir
from rftui.tui.settings import Settings

FPS_OVER_SSH = "20"


def prepare(environ: MutableMapping[str, str]) -> None:
    """No animations, and over SSH fewer frames; what the user has set stays."""
    environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if environ.get("SSH_TTY") or environ.get("SSH_CONNECTION"):
        environ.setdefault("TEXTUAL_FPS", FPS_OVER_SSH)


def start(runs_dir: Path, run: RunDir | None, settings: Settings, *, speed: float | None = None) -> int:
    """Show the program until it is left; its exit code. Raises FindingsError before the first frame."""
    prepare(os.environ)
    from rftui.tui.app import run_app

    return run_app(runs_dir, run, settings=settings, speed=speed)
