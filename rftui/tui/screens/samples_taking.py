"""What one takes along from the screen of samples: texts on the clipboard, samples in a file."""

from pathlib import Path

from rftui.tui.samples import diff
from rftui.tui.screens.ask import AskScreen, why_no_new_file
from rftui.tui.screens.samples_showing import SamplesShowing


class TakingSamples(SamplesShowing):
    """The keys that copy and export."""

    CHANGING = ("export",)

    def action_copy(self) -> None:
        """Prompt and response, or the differences."""
        if self.texts is None:
            return
        compared = self.compared
        text = f"{self.texts.prompt}\n\n{self.texts.response}"
        self.app.copy_to_clipboard(diff.plain(compared.parts) if compared else text)
        self.notify("the differences are copied" if compared else "prompt and response are copied")

    def action_export(self) -> None:
        """Ask for a file, and write the samples of the list to it."""
        if not self.samples:
            return
        what = "found" if self.query_now is not None else f"step{self.step}"
        name = f"{self.context.the_run.name}-samples-{what}.jsonl"
        question = f"Write {len(self.samples)} sample{'s' * (len(self.samples) != 1)} to"
        hint = "JSON lines with prompt, response, label, reward and all that was kept"
        self.app.push_screen(AskScreen(question, hint, name, why_no_new_file), self._export)

    def _export(self, file: str | None) -> None:
        if file is not None:
            self.write([each.id for each in self.samples], Path(file).expanduser())
