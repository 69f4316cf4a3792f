"""A question in one line: what is asked, the answer as it is typed, and what is wrong with it."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static


class Question(Horizontal):
    """Out of sight until something is asked; posts the `Submitted` of its field, whose id is `answer`."""

    def compose(self) -> ComposeResult:
        yield Static(id="question")
        yield Input(id="answer", compact=True)
        yield Static(id="wrong")

    def on_mount(self) -> None:
        """Nothing is asked."""
        self.display = False

    def ask(self, question: str, answer: str, hint: str) -> None:
        """Ask for an answer. The focus is there at once: what is typed now is text already."""
        self.query_one("#question", Static).update(Content(question))
        self.say_wrong("")
        field = self.query_one(Input)
        field.value, field.placeholder = answer, hint
        field.cursor_position = len(answer)
        self.display = True
        self.screen.set_focus(field)

    def say_wrong(self, why: str) -> None:
        """What is wrong with the answer."""
        self.query_one("#wrong", Static).update(Content(f" ✖ {why}" if why else ""))
