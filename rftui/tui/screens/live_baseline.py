"""Laying another run behind the charts of the live screen."""

import asyncio

from textual import work

from rftui.tui.baseline import LETTER, BaselineReader, candidates
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.choose import ChooseScreen
from rftui.tui.text import clean_line

QUESTION = "Which run behind the charts?"
HINT = "alike: of the same model and data. enter chooses, esc cancels"


class BaselineActions(AreaScreen):
    """Asks which run, and hands it to the thread that reads."""

    baseline: BaselineReader | None = None

    def ask(self) -> None:
        """Have the charts' data taken now, and painted even if painting is paused."""
        raise NotImplementedError

    def action_baseline(self) -> None:
        """Choose one, or take it away."""
        if self.baseline is None:
            self.choose_baseline()
            return
        self.notify(f"{clean_line(self.baseline.run.name)} is no longer behind the charts", markup=False)
        self.baseline = None
        self.ask()

    @work(group="baseline", exclusive=True, exit_on_error=False)
    async def choose_baseline(self) -> None:
        """Offer those that would do."""
        runs_dir = self.context.runs_dir
        found = await asyncio.to_thread(candidates, runs_dir, self.context.the_run)
        if not found:
            self.notify(f"no other run in {runs_dir} has done a step", severity="warning", markup=False)
            return
        if not self.is_current:  # the user went elsewhere meanwhile
            return
        ask = ChooseScreen(QUESTION, [each.words for each in found], HINT)
        place = await self.app.push_screen_wait(ask)
        if place is None:
            return
        try:
            self.baseline = await asyncio.to_thread(BaselineReader, found[place].run)
        except OSError as error:
            self.notify(f"it cannot be read: {error.strerror or error}", severity="error", markup=False)
            return
        name = clean_line(found[place].run.name)
        self.notify(f"{LETTER} is {name}, dim behind the charts; {LETTER} takes it away", markup=False)
        self.ask()
