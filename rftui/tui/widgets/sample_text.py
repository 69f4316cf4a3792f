"""Prompt and response of one sample, side by side or one below the other, scrolled together."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static


class SampleText(VerticalScroll, can_focus=True):
    """Two texts with a title each."""

    def compose(self) -> ComposeResult:
        yield Static(id="prompt")
        yield Static(id="response")

    def show(self, prompt: Content, response: Content, title: str) -> None:
        """Show texts from their beginning; `title`: of the second."""
        first, second = self.query_one("#prompt", Static), self.query_one("#response", Static)
        lines = prompt.plain.count("\n") + 1
        first.border_title = f"prompt · {lines} line{'s' * (lines != 1)}"
        second.border_title = title
        first.update(prompt)
        second.update(response)
