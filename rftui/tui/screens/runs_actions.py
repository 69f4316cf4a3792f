"""What can be done to a run from the table: each looks, asks, acts in a thread or child, and tells."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from textual import work
from textual.screen import ModalScreen

from engine.findings import FindingsError
from rftui.launch import control
from rftui.launch import stop as stopping
from rftui.runs import delete, notes
from rftui.runs.rundir import RunDir
from rftui.tui.runs_table import continuing
from rftui.tui.runs_table.child import rft
from rftui.tui.runs_table.row import Row
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.ask import AskScreen
from rftui.tui.screens.choose import ChooseScreen
from rftui.tui.screens.stop import StopDialog
from rftui.tui.text import duration, size

Found = TypeVar("Found")
SHOWN_S = 15.0
"""Seconds that a refusal stays in sight."""


class RunActions(AreaScreen):
    """Needs to know the run under the cursor, and how to look again."""

    @property
    def chosen(self) -> Row | None:
        """The run under the cursor."""
        raise NotImplementedError

    def look(self) -> object:
        """Read the folder again."""
        raise NotImplementedError

    def say_doing(self, text: str) -> None:
        """What goes on now; nothing when it is over."""
        raise NotImplementedError

    # --- notes -----------------------------------------------------------------------------------------

    @work(group="act", exit_on_error=False)
    async def action_note(self) -> None:
        """Edit the note."""
        if (row := self.chosen) is None:
            return
        hint = "enter keeps it, also an empty one; esc leaves it as it was"
        text = await self._asked(AskScreen(f"Note about {row.name}", hint, row.notes.text))
        if text is None:
            return
        await self._tried(partial(notes.write_text, RunDir(row.summary.path), text))
        self.look()

    @work(group="act", exit_on_error=False)
    async def action_tags(self) -> None:
        """Edit the tags."""
        if (row := self.chosen) is None:
            return
        ask = AskScreen(
            f"Tags of {row.name}", "words separated by spaces; esc leaves them", " ".join(row.notes.tags)
        )
        line = await self._asked(ask)
        if line is None:
            return
        await self._tried(partial(notes.write_tags, RunDir(row.summary.path), line.split()))
        self.look()

    # --- deleting --------------------------------------------------------------------------------------

    @work(group="act", exit_on_error=False)
    async def action_delete(self) -> None:
        """Say how much goes, ask for the name, delete."""
        if (row := self.chosen) is None:
            return
        if row.going:
            self.notify(f"{row.name} is {row.status}: stop it first (K)", severity="warning", markup=False)
            return
        run = RunDir(row.summary.path)
        held = await asyncio.to_thread(delete.contents, run.path)
        question = (
            f"Delete {run.name}? Its {size(held.bytes)} in {held.files} files go for good: configuration, "
            "events, logs, responses and the checkpoints in its folder."
        )
        hint = "type its name and press enter to delete it; esc keeps it"

        def check(line: str) -> str:
            return "" if line == run.name else f"not deleted: that is not {run.name!r}"

        if await self._asked(AskScreen(question, hint, check=check)) is None:
            return
        gone = await self._tried(partial(delete.delete, run))
        if gone:
            self.notify(f"{run.name} is deleted: {size(gone.bytes)} are free again", markup=False)
        self.look()

    # --- stopping and going on -------------------------------------------------------------------------

    @work(group="act", exit_on_error=False)
    async def action_stop(self) -> None:
        """Ask how to stop the run, and do it."""
        if (row := self.chosen) is None:
            return
        run = RunDir(row.summary.path)
        how = await self._asked(StopDialog(run.name))
        if how == "kill":
            self.notify(f"{run.name}: killing", markup=False)
            said = await self._tried(partial(stopping.kill, run))
        elif how == "stop":
            said = await self._tried(partial(_ask_to_stop, run))
        else:
            return
        if said:
            self.notify(f"{run.name}: {said}", markup=False)
        self.look()

    @work(group="act", exit_on_error=False)
    async def action_resume(self) -> None:
        """Show the ways to go on, and take the one chosen."""
        if (row := self.chosen) is None:
            return
        run = RunDir(row.summary.path)
        ways = await self._tried(partial(continuing.ways, run))
        if not ways:
            return
        question = f"Resume {run.name} ({row.status} at step {row.summary.step})?"
        hint = f"as `rft resume {run.name}` does; its earlier steps stay. enter chooses, esc cancels"
        place = await self._asked(ChooseScreen(question, [way.words for way in ways], hint))
        if place is None:
            return
        self.say_doing(f"resuming {run.name}")
        code, said = await rft(
            *("resume", run.name, "--runs-dir", str(run.path.parent), *ways[place].arguments),
            tick=lambda seconds: self.say_doing(f"resuming {run.name}: checked and started, {seconds:.0f} s"),
        )
        self.say_doing("")
        self._tell(code, said, f"{run.name} goes on")
        self.look()

    # --- exporting -------------------------------------------------------------------------------------

    @work(group="export", exclusive=True, exit_on_error=False)
    async def action_export(self) -> None:
        """Choose a checkpoint and a folder, and write it there."""
        if (row := self.chosen) is None:
            return
        run = RunDir(row.summary.path)
        steps = await self._tried(partial(continuing.checkpoints, run))
        if steps is None:
            return
        if not steps:
            self.notify(f"{run.name} has no complete checkpoint", severity="warning", markup=False)
            return
        newest = sorted(steps, reverse=True)
        place: int | None = 0
        if len(newest) > 1:
            lines = [f"step {step}" + (", the last" if step == newest[0] else "") for step in newest]
            place = await self._asked(ChooseScreen(f"Export which of {run.name}?", lines))
        if place is None:
            return
        step = newest[place]
        question = f"Write step {step} of {run.name} as a Hugging Face folder to"
        hint = "a new or an empty folder; enter writes it, esc cancels"
        target = await self._asked(AskScreen(question, hint, f"exports/{run.name}-step-{step}", _used))
        if target is None:
            return
        target = str(Path(target).expanduser())

        def tick(seconds: float) -> None:
            written = size(delete.contents(Path(target)).bytes)
            self.say_doing(
                f"exporting step {step} of {run.name}: {written} in {duration(seconds)} → {target}"
            )

        tick(0.0)
        code, said = await rft(
            *("export", run.name, "--runs-dir", str(run.path.parent), "--step", str(step), "--to", target),
            tick=tick,
        )
        self.say_doing("")
        self._tell(code, said, f"step {step} of {run.name} is in {target}")

    # --- asking and saying -----------------------------------------------------------------------------

    async def _asked(self, dialog: ModalScreen[Found | None]) -> Found | None:
        """The answer of a dialog; None where the user has gone to another screen meanwhile."""
        return await self.app.push_screen_wait(dialog) if self.is_current else None

    async def _tried(self, action: Callable[[], Found]) -> Found | None:
        """Do it in a thread; None, and the reason on the screen, where it is refused."""
        try:
            return await asyncio.to_thread(action)
        except FindingsError as error:
            text = continuing.refusal(error)
        except OSError as error:
            text = f"{error.strerror or error}: {error.filename}"
        self.notify(text, severity="error", markup=False, timeout=SHOWN_S)
        return None

    def _tell(self, code: int, said: str, done: str) -> None:
        if code == 0:
            self.notify(done, markup=False)
        else:
            text = "\n".join(said.splitlines()[-12:]) or f"rft ended with exit code {code}"
            self.notify(text, severity="error", markup=False, timeout=SHOWN_S)


def _ask_to_stop(run: RunDir) -> str:
    control.ask(run, "stop")
    return "stopping after its present step"


def _used(target: str) -> str:
    """What speaks against writing there."""
    if not target:
        return "a folder is needed"
    try:
        folder = Path(target).expanduser()
        if folder.is_dir() and any(folder.iterdir()):
            return f"{target} is not empty"
        return f"{target} is a file" if folder.is_file() else ""
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of nobody
        return f"{target} cannot be used: {getattr(error, 'strerror', None) or error}"
