"""A real terminal for tests: a program in tmux, its screen and its keys."""

import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest


class Tmux:
    """A terminal of a fixed size with a program in it, after which it says `$ left`."""

    def __init__(self, size: tuple[int, int], command: str, environ: Mapping[str, str]) -> None:
        self.socket = f"rftui-test-{uuid.uuid4().hex[:8]}"
        # Sizes that a program left in the environment would be believed rather than the terminal.
        own = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
        self.environ = {**own, "TERM": "xterm-256color"}
        width, height = map(str, size)
        shell = f"{command}; echo '$ left'; sleep 60"
        self._call("-f", os.devnull, "new-session", "-d", "-x", width, "-y", height, shell)
        self._call("set-option", "-g", "status", "off")

    def _call(self, *args: str) -> str:
        command = ["tmux", "-u", "-L", self.socket, *args]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20, env=self.environ
        )
        return done.stdout

    def screen(self) -> str:
        """What stands there now."""
        return self._call("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Type keys."""
        self._call("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Give it another size."""
        self._call("resize-window", "-x", str(width), "-y", str(height))

    def write_over(self, text: str) -> None:
        """Write to the terminal as other programs may."""
        Path(self._call("display-message", "-p", "#{pane_tty}").strip()).write_text(text)

    @property
    def pane_pid(self) -> int:
        """The shell in the terminal."""
        return int(self._call("display-message", "-p", "#{pane_pid}"))

    def shows(self, *texts: str, timeout: float = 30.0) -> str:
        """Wait for texts; returns the screen."""
        deadline = time.monotonic() + timeout
        while not all(text in (screen := self.screen()) for text in texts):
            if time.monotonic() > deadline:
                pytest.fail(f"{texts} not seen in time; the terminal shows:\n{screen}")
            time.sleep(0.1)
        return screen

    def close(self) -> None:
        """End everything in it."""
        self._call("kill-server")
