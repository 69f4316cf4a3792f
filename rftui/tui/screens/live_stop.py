"""Stopping the run that the live screen shows."""

from textual import work

from engine.findings import FindingsError
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.stop import StopDialog


class StopActions(AreaScreen):
    """Asks how to stop, and does it in a thread."""

    def action_stop(self) -> None:
        """Ask how to stop the run."""
        self.app.push_screen(StopDialog(self.context.the_run.name), self._stop_as)

    def _stop_as(self, action: str | None) -> None:
        if action is not None:
            self.carry_out(action)

    @work(thread=True, exit_on_error=False)
    def carry_out(self, action: str) -> None:
        """Write the request, see that a kill is obeyed, and say what happens."""
        from rftui.launch import stop as stopping  # the planner comes with it: not before the first frame

        run = self.context.the_run
        try:
            if action == "kill":
                self.notify(f"{run.name}: killing", markup=False)
                said = stopping.kill(run)
            else:
                stopping.ask(run, "stop")
                said = "stopping after its present step"
        except FindingsError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"{run.name}: {said}", markup=False)
