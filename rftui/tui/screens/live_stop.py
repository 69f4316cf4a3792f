"""Asking the run that the live screen shows to save, or to end."""

import time
from functools import partial

from textual import work
from textual.app import App
from textual.worker import get_current_worker

from engine.control import Control
from engine.findings import FindingsError
from rftui.runs.rundir import RunDir
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.stop import StopDialog
from rftui.tui.text import clean_line


class StopActions(AreaScreen):
    """Asks how to stop, or that it saves; does it in a thread, and says what comes of it."""

    def action_stop(self) -> None:
        """Ask how to stop the run."""
        self.app.push_screen(StopDialog(self.context.the_run.name), self._stop_as)

    def _stop_as(self, action: str | None) -> None:
        if action is not None:
            self.carry_out(action)

    @work(thread=True, exit_on_error=False)
    def carry_out(self, action: str) -> None:
        """Write the request, see that a kill is obeyed, and say what happens."""
        from rftui.launch import control  # the planner comes with it: not before the first frame
        from rftui.launch import stop as stopping

        run = self.context.the_run
        try:
            if action == "kill":
                self.notify(f"{run.name}: killing", markup=False)
                said = stopping.kill(run)
            else:
                control.ask(run, "stop")
                said = "stopping after its present step"
        except FindingsError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"{run.name}: {said}", markup=False)

    @work(thread=True, exclusive=True, group="checkpoint", exit_on_error=False)
    def action_checkpoint(self) -> None:
        """Have the run save after its present step."""
        from rftui.launch import checkpoint

        run = self.context.the_run
        try:
            asked = checkpoint.ask(run)
        except FindingsError as error:
            self.notify(error.findings[0].cause, severity="warning", markup=False)
        else:
            said = "saves a checkpoint after its present step, and goes on"
            self.notify(f"{run.name} {said}", markup=False)

            self.app.call_later(self._await_answer, run, asked)

    def _await_answer(self, run: RunDir, asked: Control) -> None:
        """In a thread of the program's, whatever is shown then; a later request's takes its place."""
        self.app.run_worker(
            partial(tell_answer, self.app, run, asked),
            group=f"checkpoint {run.path}",
            exclusive=True,
            exit_on_error=False,
            thread=True,
        )


def tell_answer(app: App[None], run: RunDir, asked: Control) -> None:
    """Wait for what the run answers, and say it: in a thread."""
    from rftui.launch import checkpoint

    worker, answer = get_current_worker(), checkpoint.Answer(run, asked)
    try:
        while not (said := answer.poll()) and not worker.is_cancelled:
            time.sleep(checkpoint.POLL_S)
    except FindingsError as error:
        app.notify(clean_line(error.findings[0].cause), severity="error", markup=False)
    else:
        if said:
            app.notify(f"{run.name}: {clean_line(said)}", markup=False)
