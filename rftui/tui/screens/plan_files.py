"""What leaves the plan screen: other machines and presets, files, commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.findings import FindingsError
from rftui.tui.screens.ask import AskScreen, why_no_new_file
from rftui.tui.screens.plan_panes import PanesScreen
from rftui.tui.screens.presets import PresetsScreen

if TYPE_CHECKING:
    from rftui.tui.planning.edits import Edits


class FilesScreen(PanesScreen):
    """Asks for a line where one is needed, and says what was done."""

    _kept: "Edits | None" = None
    """The edits that were written or saved last."""

    @property
    def unsaved(self) -> int:
        """How many values were given that no file holds."""
        return len(self.edits.values) if self.edits is not None and self.edits != self._kept else 0

    def action_machine(self) -> None:
        """Ask for a machine to plan for."""
        from rftui.tui.planning.machines import machine_of, what_is_wrong

        if self.edits is None:
            return
        hint = "8xA100-80; 8xH100 4 for four machines; nothing for this machine"
        now = " ".join([self.edits.gpus or "", *[str(self.edits.nodes)] * (self.edits.nodes > 1)])

        def take(line: str | None) -> None:
            if line is not None and self.edits is not None:
                self.change(self.edits.planned_for(*machine_of(line)))

        self.app.push_screen(AskScreen("Plan for which GPUs?", hint, now, what_is_wrong), take)

    def action_presets(self) -> None:
        """Choose a preset; without any, all is at its defaults."""
        without = "all parameters at their defaults" if self.ground is None else "stay with this one"
        self.app.push_screen(PresetsScreen(without), self._open)

    def _open(self, preset: str | None) -> None:
        if preset is not None:  # by the program: this screen cannot wait for its own end
            self.app.call_later(self.rft.open_plan, preset)
        elif self.ground is None:
            self.look()

    def action_look(self) -> None:
        """Read the preset and look at the machine again."""
        self.look()

    def action_write(self) -> None:
        """Ask for a file, and write what would run."""
        if self._can_be_kept():
            hint = "a YAML file for `rft launch FILE`: what was given and what was chosen"
            name = f"{self.ground.name}-plan.yaml" if self.ground else "plan.yaml"
            self.app.push_screen(
                AskScreen("Write what would run to", hint, name, why_no_new_file), self._write
            )

    def _write(self, file: str | None) -> None:
        from rftui.tui.planning.saving import write_exact

        if file is not None and self.now is not None and self.ground is not None:
            now, ground, path = self.now, self.ground, Path(file).expanduser()
            self._try(lambda: write_exact(now, ground, path), f"written: {path}")

    def action_save(self) -> None:
        """Ask for a name, and keep what was given as a preset."""
        from rftui.tui.planning.saving import why_no_preset

        if self._can_be_kept():
            hint = "what you and the preset gave; what the planner chooses stays open"
            name = f"my-{self.ground.name}" if self.ground else ""
            self.app.push_screen(AskScreen("Save as a preset named", hint, name, why_no_preset), self._save)

    def _save(self, name: str | None) -> None:
        from rftui.tui.planning.saving import preset_path, save_preset

        if name is not None and self.now is not None and self.ground is not None:
            now, ground = self.now, self.ground
            self._try(lambda: save_preset(now, ground, name), f"saved: {preset_path(name)}")

    def _can_be_kept(self) -> bool:
        if self.busy or self.now is None or self.now.errors:
            wrong = "still checking" if self.busy else "correct the errors first: n goes to them"
            self.notify(wrong, severity="warning")
            return False
        return True

    def _try(self, do: Callable[[], object], said: str) -> None:
        try:
            do()
        except FindingsError as error:
            self.notify(error.findings[0].cause, severity="error", markup=False)
        else:
            self._kept = self.edits
            self.notify(said, markup=False)

    def action_copy(self) -> None:
        """The `rft launch` command."""
        from rftui.tui.planning import words

        if self.now is not None and self.ground is not None:
            self.app.copy_to_clipboard(words.launch_line(self.now, self.ground))
            self.notify("the rft command is copied")

    def action_copy_ranks(self) -> None:
        """The torchrun command."""
        from rftui.tui.planning import words

        if self.now is not None and self.ground is not None and self.now.edits.gpus is None:
            self.app.copy_to_clipboard(words.rank_line(self.now, self.ground, self._port).shell())
            self.notify("the torchrun command is copied")
