"""Asking the run that the live screen shows to save, or to end."""

from textual import work

from engine.findings import FindingsError
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.stop import StopDialog
from rftui.tui.snapshot import Snapshot
from rftui.tui.text import clean_line


class StopActions(AreaScreen):
    """Asks how to stop, or that it saves; does it in a thread, and says what comes of it."""

    _unanswered = 0.0
    """`t` of the request for a checkpoint that the run has not answered."""

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
            self._unanswered = checkpoint.ask(run).t
        except FindingsError as error:
            self.notify(error.findings[0].cause, severity="warning", markup=False)
        else:
            said = "saves a checkpoint after its present step, and goes on"
            self.notify(f"{run.name} {said}", markup=False)

    def hear(self, snapshot: Snapshot) -> None:
        """Say what the run answered."""
        if not self._unanswered:
            return
        answer = snapshot.answer
        if answer is not None and answer.answers == self._unanswered:
            self._unanswered = 0.0
            well = answer.state == "checkpointed"
            said = f"{snapshot.name}: {clean_line(answer.message)}"
            self.notify(said, severity="information" if well else "error", markup=False)
        elif not snapshot.active:
            self._unanswered = 0.0
            self.notify(
                f"{snapshot.name} has ended first: {snapshot.status}", severity="warning", markup=False
            )
