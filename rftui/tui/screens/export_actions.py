"""Writing what a screen shows into files: asks where to, writes in a thread, says what was written."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from textual import work

from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.ask import AskScreen, why_no_new_file

CURVES = {".csv": "all points", ".svg": "this chart, whole and linear", ".md": "the tables"}
"""What files of each kind hold."""


class ExportActions(AreaScreen):
    """Has files of one or more runs written."""

    @work(group="write", exclusive=True, exit_on_error=False)
    async def export(
        self,
        what: str,
        name: str,
        write: Callable[[Sequence[Path]], None],
        kinds: Mapping[str, str] = CURVES,
    ) -> None:
        """Ask where to, with `name` offered, and let `write` make these files."""
        from rftui.tui.runs_table import exporting

        known = ", ".join(f"{kind}: {holds}" for kind, holds in kinds.items())
        hint = f"ending {known}; without one: all of these. esc cancels"
        ask = AskScreen(f"Write {what} to", hint, name, lambda line: _why_not(line, tuple(kinds)))
        line = await self.app.push_screen_wait(ask)
        if line is None:
            return
        paths = exporting.targets(line, tuple(kinds))
        try:
            await asyncio.to_thread(partial(write, paths))
        except OSError as error:
            said = f"not written: {error.strerror or error}: {error.filename}"
            self.notify(said, severity="error", markup=False)
        else:
            self.notify("written: " + ", ".join(map(str, paths)), markup=False)


def _why_not(line: str, kinds: Sequence[str]) -> str:
    """Why these files cannot be written; nothing where they can."""
    from rftui.tui.runs_table import exporting

    try:
        files = exporting.targets(line, kinds)
    except (RuntimeError, ValueError):  # ~ of nobody; a path without a name, such as /
        return why_no_new_file(line)
    return next(filter(None, (why_no_new_file(str(file)) for file in files)), "")
