"""Writing what a screen shows into files: asks where to, writes in a thread, says what was written."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from textual import work

from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.ask import AskScreen

HINT = "ending .csv: all points, .svg: this chart, .md: the tables; without one: all three. esc cancels"


class ExportActions(AreaScreen):
    """Has files of one or more runs written."""

    @work(group="export", exclusive=True, exit_on_error=False)
    async def export(self, what: str, name: str, write: Callable[[Sequence[Path]], None]) -> None:
        """Ask where to, with `name` offered, and let `write` make these files."""
        from rftui.tui.runs_table import exporting

        ask = AskScreen(f"Write {what} to", HINT, name, lambda line: "" if line else "a file?")
        line = await self.app.push_screen_wait(ask)
        if line is None:
            return
        paths = exporting.targets(line)
        try:
            await asyncio.to_thread(partial(write, paths))
        except OSError as error:
            said = f"not written: {error.strerror or error}: {error.filename}"
            self.notify(said, severity="error", markup=False)
        else:
            self.notify("written: " + ", ".join(map(str, paths)), markup=False)
