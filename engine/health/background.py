"""Threads of our own, whose failure is the rank's failure."""

import threading
from collections.abc import Callable
from pathlib import Path

from engine import failure
from engine.leaving import leave


class Background(threading.Thread):
    """A daemon thread. An exception in it is recorded in `run_dir` and ends the process.

    Python would only print it, and the run would go on without whatever the thread does.
    """

    def __init__(self, target: Callable[[], None], *, name: str, run_dir: Path) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._run_dir = run_dir

    def run(self) -> None:
        """Run the target."""
        try:
            super().run()
        except BaseException as error:
            leave(failure.report(error, self._run_dir))
