"""Starts the program in this terminal: the environment that Textual reads as it is imported, then the app."""

import os
import select
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path
from threading import Thread

from rftui.runs.rundir import RunDir
from rftui.tui.settings import Settings

FPS_OVER_SSH = "20"


def prepare(environ: MutableMapping[str, str]) -> None:
    """No animations, and over SSH fewer frames; what the user has set stays."""
    environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    if environ.get("SSH_TTY") or environ.get("SSH_CONNECTION"):
        environ.setdefault("TEXTUAL_FPS", FPS_OVER_SSH)


def end_with_terminal() -> None:
    """End this process when its terminal is gone, as SIGHUP does.

    Only the first process of a terminal gets that signal; what it started, under nohup or from a shell that
    ignores it, would go on for ever and use a whole core.
    """
    if sys.__stdin__ is None or not sys.__stdin__.isatty():
        return
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    hang_up = select.poll()
    hang_up.register(sys.__stdin__.fileno(), 0)  # nothing asked for: that it hung up is told nevertheless

    def wait() -> None:
        hang_up.poll()
        os.kill(os.getpid(), signal.SIGHUP)

    Thread(target=wait, name="terminal-hang-up", daemon=True).start()


def start(runs_dir: Path, run: RunDir | None, settings: Settings, *, speed: float | None = None) -> int:
    """Show the program until it is left; its exit code. Raises FindingsError before the first frame."""
    prepare(os.environ)
    end_with_terminal()
    from rftui.tui.app import run_app

    return run_app(runs_dir, run, settings=settings, speed=speed)
