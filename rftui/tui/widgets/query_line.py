"""A line for a query of samples; below it stands how it is understood, or what is wrong with it."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from rftui.runs import trajectory_query
from rftui.runs.trajectory_query import Query
from rftui.tui.samples.shading import printable


class QueryLine(Vertical):
    """Out of sight until it is asked for; posts queries that can be understood."""

    class Asked(Message):
        """Look for this."""

        def __init__(self, query: Query) -> None:
            super().__init__()
            self.query = query

    def compose(self) -> ComposeResult:
        yield Input(id="query", placeholder=trajectory_query.HELP, compact=True)
        yield Static(id="wrong")

    def on_mount(self) -> None:
        """Nothing is asked."""
        self.close()

    @property
    def field(self) -> Input:
        """Where the query is typed."""
        return self.query_one(Input)

    def ask(self) -> None:
        """Have a query typed. The focus is there at once: what is typed now is text already."""
        self.field.display = True
        self.screen.set_focus(self.field)

    def close(self) -> None:
        """Forget the query."""
        self.field.value = ""
        self.field.display = self.query_one("#wrong").display = False

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        """Say at once what is wrong with it."""
        event.stop()
        if not self.field.display:
            return
        try:
            words = trajectory_query.described(trajectory_query.parse(event.value))
            sign = "→ " if words else ""
        except ValueError as error:
            words, sign = str(error), "✖ "
        line = self.query_one("#wrong", Static)
        line.display = True
        line.update(Content(sign + (printable(words) or trajectory_query.HELP)))
        line.set_class(sign == "✖ ", "-error")

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Hand it over, unless it cannot be understood."""
        event.stop()
        try:
            query = trajectory_query.parse(event.value)
        except ValueError:
            return
        self.query_one("#wrong").display = False
        self.post_message(self.Asked(query))
