"""The panes of the plan screen: what stands in them, and the way between them."""

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Click, DescendantFocus
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from engine.findings import Finding
from rftui.tui.context import Context
from rftui.tui.planning.rows import ORIGINS
from rftui.tui.screens.plan_considering import ConsideringScreen
from rftui.tui.text import clean_line
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.options import Options
from rftui.tui.widgets.parameter_form import Form
from rftui.tui.widgets.text_pane import TextPane
from rftui.tui.widgets.value_editor import Editor

if TYPE_CHECKING:
    from rftui.tui.planning.rows import Field

PANES = ("form", "memory", "findings", "machine", "command")
IN_FORM = ("edit", "pin", "revert", "cycle", "section", "changed")
"""Actions on the form: keys of others do not reach what is out of sight."""


class PanesScreen(ConsideringScreen):
    """One pane at a time on a small terminal, all side by side on a large one."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.fields: list[Field] = []
        self.pane = "form"
        self.changed_only = False
        self.listed: tuple[Finding, ...] | None = None
        """The findings that are shown."""

    def compose(self) -> ComposeResult:
        yield Static(id="status")
        with Horizontal(id="bar"):
            yield Static(id="panes")
            yield Button("L launch", id="launch", compact=True, variant="primary")
        with Container(id="body"):
            with Vertical(id="left"):
                yield Input(id="filter", placeholder="words; esc shows all again", compact=True)
                with Container(id="form-box"):
                    yield Form(id="form")
                    yield Editor(id="editor")
                yield Static(id="details")
            with Vertical(id="right"):
                yield TextPane(id="memory", title="memory, batches, time")
                yield Options(id="findings")
                yield TextPane(id="machine", title="this machine")
            yield TextPane(id="command", title="command")
        yield Footer()

    def on_mount(self) -> None:
        """Begin with the form."""
        self.query_one(Editor).display = False
        self.query_one("#filter").display = False
        self.query_one("#findings").border_title = "findings"
        legend = "  ".join(f"{glyph} {word}" for glyph, _, word in ORIGINS.values())
        self.query_one("#form-box").border_subtitle = legend
        self._show_pane("form")
        self._show_status()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the form work in the form; in a field a slash is text."""
        if action in IN_FORM and self.pane != "form":
            return False
        if action == "edit":
            return isinstance(self.focused, Form)
        if action == "filter":
            return not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    def show_now(self) -> None:
        from rftui.tui.planning import memory, words
        from rftui.tui.planning.fields import fields

        now, ground = self.now, self.ground
        assert now is not None and ground is not None
        self.fields = fields(now, ground)
        with self.app.batch_update():
            self._show_status()
            self.show_form()
            self._show_findings(now.findings)
            self.query_one("#memory", TextPane).show(lambda width: memory.memory(now, width))
            self.query_one("#machine", TextPane).show(lambda width: words.machine(now, ground))
            self.query_one("#command", TextPane).show(lambda width: words.commands(now, ground, self._port))

    def _show_status(self) -> None:
        if self.now is None or self.ground is None:  # the planner is imported by the thread that reads
            doing = "reading the preset and this machine" if self.context.preset else "no preset yet"
            line = Content.styled(f"rft ▸ plan   {doing}", "$quiet italic")
        else:
            from rftui.tui.planning import words

            line = words.status(self.now, self.ground, self.busy, self.size.width - 2)
        self.query_one("#status", Static).update(line)

    def show_form(self) -> None:
        from rftui.tui.planning.fields import rows

        query = self.query_one("#filter", Input).value
        form = self.query_one(Form)
        form.show(rows(self.fields, query, changed_only=self.changed_only))
        self._show_details()
        self._place_editor()

    def _show_details(self) -> None:
        from rftui.tui.planning import words

        if self.now is not None:
            text = words.details(self.query_one(Form).field)
            self.query_one("#details", Static).update(text)

    def _show_findings(self, findings: tuple[Finding, ...]) -> None:
        from rftui.tui.planning import words

        if findings == self.listed:
            return
        self.listed = findings
        options = self.query_one("#findings", OptionList)
        at = options.highlighted or 0
        ordered = words.order(findings)
        none = Option(Content.styled("nothing speaks against it", "$success"), disabled=True)
        options.set_options([Option(words.finding(one)) for one in ordered] or [none])
        options.highlighted = min(at, len(ordered) - 1) if ordered else None
        options.border_title = f"findings · {len(ordered)}" if ordered else "findings"
        self._show_panes()

    def _tabs(self) -> dict[str, str]:
        """What stands in the bar, by pane."""
        count = f" {len(self.listed)}" if self.listed else ""
        return {name: f" {name}{count if name == 'findings' else ''} " for name in PANES}

    def _show_panes(self) -> None:
        tabs = [
            Content.styled(text, "bold reverse $primary" if name == self.pane else "$quiet")
            for name, text in self._tabs().items()
        ]
        self.query_one("#panes", Static).update(Content(" ").join(tabs))

    @on(Click, "#panes")
    def choose_pane(self, event: Click) -> None:
        """The tab under the mouse."""
        end = 0
        for name, text in self._tabs().items():
            end += len(text) + 1
            if event.x < end:
                self.go_to_pane(name)
                return

    def _show_pane(self, name: str) -> None:
        """Make a pane the one in sight where there is room for one only."""
        self.remove_class(*(f"-pane-{each}" for each in PANES))
        self.add_class(f"-pane-{name}")
        self.pane = name
        self._show_panes()
        self.refresh_bindings()

    def on_resize(self) -> None:
        """The status line has another width; the editor stands elsewhere."""
        self._show_status()
        self.call_after_refresh(self._place_editor)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that the mouse went to."""
        name = event.widget.id or ""
        if name in PANES and name != self.pane:
            self._show_pane(name)

    def show_refused(self, findings: tuple[Finding, ...]) -> None:
        """Say what is wrong with the preset."""
        self._show_findings(findings)
        cause = f"✖ {clean_line(findings[0].cause)}   o opens another preset"
        self.query_one("#status", Static).update(Content.styled(cause, "$error"))
        self._show_pane("findings")

    def _place_editor(self) -> None:
        editor, place = self.query_one(Editor), self.query_one(Form).place_of_value()
        if editor.display and place is not None:
            editor.styles.offset, editor.styles.width = (place[0], place[1]), place[2]

    def action_pane(self, by: int) -> None:
        """The next pane."""
        self.go_to_pane(PANES[(PANES.index(self.pane) + by) % len(PANES)])

    def go_to_pane(self, name: str) -> None:
        self._show_pane(name)
        self.query_one(f"#{name}").focus()

    def action_command(self) -> None:
        """The command, or back to the form."""
        self.go_to_pane("form" if self.pane == "command" else "command")

    def action_back(self) -> None:
        """Show all parameters again, and go to the form."""
        box = self.query_one("#filter", Input)
        if box.display:
            box.value = ""
            box.display = False
        self.go_to_pane("form")

    def action_filter(self) -> None:
        """Type words to look for."""
        self._show_pane("form")
        box = self.query_one("#filter", Input)
        box.display = True
        self.set_focus(box)

    @on(Input.Changed, "#filter")
    def narrow(self) -> None:
        """Only what has these words."""
        if self.now is not None:
            self.show_form()

    @on(Input.Submitted, "#filter")
    def narrowed(self) -> None:
        """Go on in the form."""
        self.query_one(Form).focus()

    def action_changed(self) -> None:
        """All parameters, or those that are set."""
        self.changed_only = not self.changed_only
        if self.now is not None:
            self.show_form()

    def action_section(self, by: int) -> None:
        """Another section."""
        self.query_one(Form).move_section(by)

    @on(Form.Moved)
    def moved(self) -> None:
        """Details of another field."""
        self._show_details()
