"""A preset as it would run here: every parameter, what it needs, what speaks against it; and its launch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Click, DescendantFocus
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Footer, Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from engine.findings import Finding, FindingsError
from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.ask import AskScreen
from rftui.tui.screens.launch import LaunchScreen, Outcome
from rftui.tui.screens.plan_keys import PLAN_KEYS
from rftui.tui.screens.presets import PresetsScreen
from rftui.tui.widgets.parameter_form import FORM_KEYS, Form
from rftui.tui.widgets.text_pane import TextPane
from rftui.tui.widgets.value_editor import Editor

if TYPE_CHECKING:
    from rftui.tui.planning.consider import Considered, Ground
    from rftui.tui.planning.edits import Edits
    from rftui.tui.planning.fields import Field

DEBOUNCE_S = 0.15
"""After the last edit, before everything is checked and the planner chooses anew."""
PANES = ("form", "memory", "findings", "machine", "command")


class PlanScreen(AreaScreen):
    """Edits are considered in threads: at once as they stand, and a moment later with all that is checked."""

    class Looked(Message):
        """The preset was read and the machine looked at; or why not."""

        def __init__(self, ground: "Ground | None", findings: tuple[Finding, ...] = ()) -> None:
            super().__init__()
            self.ground = ground
            self.findings = findings

    class Seen(Message):
        """What is known of some edits."""

        def __init__(self, considered: "Considered") -> None:
            super().__init__()
            self.considered = considered

    CSS_PATH = "plan.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = (*PLAN_KEYS, *FORM_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(PLAN_KEYS)
    AUTO_FOCUS = "#form"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ground: Ground | None = None
        self.now: Considered | None = None
        """What is shown."""
        self.edits: Edits | None = None
        self.fields: list[Field] = []
        self.pane = "form"
        self.changed_only = False
        self._before_edit: Edits | None = None
        self._working: set[str] = set()
        """Of "at_once" and "completely": which is being worked on."""
        self._debounce: Timer | None = None
        self._listed: tuple[Finding, ...] | None = None
        self._port = 0

    def compose(self) -> ComposeResult:
        yield Static(id="status")
        with Horizontal(id="bar"):
            yield Static(id="panes")
            yield Button("Launch", id="launch", compact=True, variant="primary")
        with Container(id="body"):
            with Vertical(id="left"):
                yield Input(id="filter", placeholder="words; esc shows all again", compact=True)
                with Container(id="form-box"):
                    yield Form(id="form")
                    yield Editor(id="editor")
                yield Static(id="details")
            with Vertical(id="right"):
                yield TextPane(id="memory", title="memory, batches, time")
                yield OptionList(id="findings")
                yield TextPane(id="machine", title="this machine")
            yield TextPane(id="command", title="command")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Read the preset, or ask for one."""
        self.query_one(Editor).display = False
        self.query_one("#filter").display = False
        self.query_one("#findings").border_title = "findings"
        self._show_pane("form")
        self._show_status()
        if self.context.preset:
            self.look()
        else:
            self.action_presets()

    # --- considering -----------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def look(self) -> None:
        """Read the preset and look at this machine."""
        from diagnostics.preflight import free_port
        from rftui.tui.planning.consider import look

        try:
            self._port = self._port or free_port()
            found = self.Looked(look(self.context.preset, self.context.runs_dir))
        except FindingsError as error:
            found = self.Looked(None, error.findings)
        self.post_message(found)

    def on_plan_screen_looked(self, message: "PlanScreen.Looked") -> None:
        """Consider it, or say what is wrong with the preset."""
        from rftui.tui.planning.edits import Edits

        if message.ground is None:
            self._show_findings(message.findings)
            self.query_one("#status", Static).update(
                Content.styled(f"✖ {message.findings[0].cause}   o opens another preset", "$error")
            )
            self._show_pane("findings")
            return
        self.ground = message.ground
        self._change(self.edits or Edits())

    def _change(self, edits: "Edits") -> None:
        """Take other edits, and have them considered."""
        self.edits = edits
        self._consider("at_once")

    def _consider(self, how: str) -> None:
        """At most one thread of a kind at a time: who ends sees whether there is something newer."""
        if how not in self._working:
            self._working.add(how)
            self.consider(how)

    @work(thread=True, group="consider", exit_on_error=False)
    def consider(self, how: str) -> None:
        """Consider the present edits in a thread."""
        from rftui.tui.planning import consider

        edits, ground, now = self.edits, self.ground, self.now
        assert edits is not None and ground is not None
        try:
            if how == "at_once":
                found = consider.at_once(edits, ground, now)
            else:
                assert now is not None
                found = consider.completely(now, ground)
        finally:
            self._working.discard(how)
        self.post_message(self.Seen(found))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Considering went wrong in a way nobody foresaw: say so."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.notify(f"planning stopped: {error!r}", severity="error", timeout=60, markup=False)

    def on_plan_screen_seen(self, message: "PlanScreen.Seen") -> None:
        """Show what was found, and go on with what is newer, or not complete."""
        found = message.considered
        if found.edits != self.edits:
            self._consider("at_once")
            if found.complete:
                return
        if not found.complete:
            if self._debounce is not None:
                self._debounce.stop()
            self._debounce = self.set_timer(DEBOUNCE_S, lambda: self._consider("completely"))
        self.now = found
        self._show()

    @property
    def busy(self) -> bool:
        """Whether more will be known in a moment."""
        return self.now is None or not self.now.complete or self.now.edits != self.edits

    # --- showing ---------------------------------------------------------------------------------------

    def _show(self) -> None:
        from rftui.tui.planning import memory, words
        from rftui.tui.planning.fields import fields

        now, ground = self.now, self.ground
        assert now is not None and ground is not None
        self.fields = fields(now, ground)
        with self.app.batch_update():
            self._show_status()
            self._show_form()
            self._show_findings(now.findings)
            self.query_one("#memory", TextPane).show(lambda width: memory.memory(now, width))
            self.query_one("#machine", TextPane).show(lambda width: words.machine(now, ground))
            self.query_one("#command", TextPane).show(lambda width: words.commands(now, ground, self._port))

    def _show_status(self) -> None:
        if self.now is None or self.ground is None:  # the planner is imported by the thread that reads
            line = Content.styled("rft ▸ plan   reading the preset and this machine", "$quiet italic")
        else:
            from rftui.tui.planning import words

            line = words.status(self.now, self.ground, self.busy, self.size.width - 2)
        self.query_one("#status", Static).update(line)

    def _show_form(self) -> None:
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

        if findings == self._listed:
            return
        self._listed = findings
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
        count = f" {len(self._listed)}" if self._listed else ""
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
                self._go_to_pane(name)
                return

    def _show_pane(self, name: str) -> None:
        """Make a pane the one in sight where there is room for one only."""
        self.remove_class(*(f"-pane-{each}" for each in PANES))
        self.add_class(f"-pane-{name}")
        self.pane = name
        self._show_panes()

    def on_resize(self) -> None:
        """The status line has another width; the editor stands elsewhere."""
        self._show_status()
        self.call_after_refresh(self._place_editor)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that the mouse went to."""
        name = event.widget.id or ""
        if name in PANES and name != self.pane:
            self._show_pane(name)

    # --- panes -----------------------------------------------------------------------------------------

    def action_pane(self, by: int) -> None:
        """The next pane."""
        self._go_to_pane(PANES[(PANES.index(self.pane) + by) % len(PANES)])

    def _go_to_pane(self, name: str) -> None:
        self._show_pane(name)
        self.query_one(f"#{name}").focus()

    def action_command(self) -> None:
        """The command, or back to the form."""
        self._go_to_pane("form" if self.pane == "command" else "command")

    def action_back(self) -> None:
        """Show all parameters again, and go to the form."""
        box = self.query_one("#filter", Input)
        if box.display:
            box.value = ""
            box.display = False
        self._go_to_pane("form")

    def action_filter(self) -> None:
        """Type words to look for."""
        self._show_pane("form")
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    @on(Input.Changed, "#filter")
    def narrow(self) -> None:
        """Only what has these words."""
        if self.now is not None:
            self._show_form()

    @on(Input.Submitted, "#filter")
    def narrowed(self) -> None:
        """Go on in the form."""
        self.query_one(Form).focus()

    def action_changed(self) -> None:
        """All parameters, or those that are set."""
        self.changed_only = not self.changed_only
        if self.now is not None:
            self._show_form()

    def action_section(self, by: int) -> None:
        """Another section."""
        self.query_one(Form).move_section(by)

    @on(Form.Moved)
    def moved(self) -> None:
        """Details of another field."""
        self._show_details()

    # --- editing ---------------------------------------------------------------------------------------

    @on(Form.Chosen)
    def action_edit(self) -> None:
        """Open the editor on the value; a switch is turned over at once."""
        from rftui.tui.planning.fields import edit_text, options

        field, place = self.query_one(Form).field, self.query_one(Form).place_of_value()
        if field is None or place is None or self.edits is None or self.pane != "form":
            return
        if field.refused:
            self.notify(f"{field.parameter.name} is not available in this version", severity="warning")
            return
        if field.parameter.kind == "bool":
            self.action_cycle(1)
            return
        self._before_edit = self.edits
        self.query_one(Editor).open(edit_text(self._value(field)), options(field.parameter), place)

    def _value(self, field: "Field") -> Any:
        from engine.config.registry import value_of

        assert self.edits is not None and self.now is not None
        given = self.edits.values
        return given[field.key] if field.key in given else value_of(self.now.resolved.config, field.key)

    def _place_editor(self) -> None:
        editor, place = self.query_one(Editor), self.query_one(Form).place_of_value()
        if editor.display and place is not None:
            editor.styles.offset, editor.styles.width = (place[0], place[1]), place[2]

    @on(Input.Changed, "#editor")
    def typed(self, event: Input.Changed) -> None:
        """Consider what stands in the editor."""
        from rftui.tui.planning.fields import parsed

        field = self.query_one(Form).field
        if field is not None and self._before_edit is not None:
            self._change(self._before_edit.with_value(field.key, parsed(event.value, field)))

    @on(Input.Submitted, "#editor")
    def keep(self) -> None:
        """Keep what was typed."""
        self.query_one(Form).focus()

    @on(Editor.Closed)
    def closed(self) -> None:
        """The focus has left the editor: what was typed stays."""
        self._before_edit = None

    @on(Editor.Left)
    def leave(self) -> None:
        """As it was before."""
        if self._before_edit is not None:
            self._change(self._before_edit)
            self._before_edit = None
        self.keep()

    def action_cycle(self, by: int) -> None:
        """The next of a parameter's values."""
        from rftui.tui.planning.fields import edit_text, options, parsed

        field = self.query_one(Form).field
        if field is None or self.edits is None or self.pane != "form":
            return
        there = options(field.parameter)
        if field.refused or not there:
            return
        present = edit_text(self._value(field))
        at = there.index(present) if present in there else -1
        self._change(self.edits.with_value(field.key, parsed(there[(at + by) % len(there)], field)))

    def action_pin(self) -> None:
        """Make the planner's choice a value of the user's, or let go of one."""
        field = self.query_one(Form).field
        if field is None or self.edits is None:
            return
        if field.origin == "user":
            self.action_revert()
        elif field.origin == "planner":
            self._change(self.edits.with_value(field.key, self._value(field)))
            self.notify(f"{field.parameter.name} stays {field.value}", markup=False)
        else:
            self.notify("only what the planner chose can be pinned; enter edits", severity="warning")

    def action_revert(self) -> None:
        """Without the user's value."""
        field = self.query_one(Form).field
        if field is not None and self.edits is not None and field.key in self.edits.values:
            self._change(self.edits.without(field.key))

    def action_as_is(self) -> None:
        """With the planner's choices, or without."""
        if self.edits is not None:
            self._change(self.edits.switched_as_is())

    # --- findings --------------------------------------------------------------------------------------

    def action_next_error(self) -> None:
        """The next field with something wrong."""
        wrong = [field.key for field in self.fields if field.severity == "error"]
        wrong = wrong or [field.key for field in self.fields if field.severity]
        if not wrong:
            if self._listed:
                self._go_to_pane("findings")
            else:
                self.notify("nothing is wrong")
            return
        keys = [field.key for field in self.fields]
        form = self.query_one(Form)
        at = keys.index(form.cursor) if form.cursor in keys else -1
        self._go_to_field(next((key for key in wrong if keys.index(key) > at), wrong[0]))

    def _go_to_field(self, key: str) -> None:
        self.changed_only = False
        self.query_one("#filter", Input).value = ""
        self._show_form()
        self._go_to_pane("form")
        self.query_one(Form).go_to(key)

    @on(OptionList.OptionSelected, "#findings")
    def go_to_finding(self, event: OptionList.OptionSelected) -> None:
        """The field that a finding is about."""
        from rftui.tui.planning import words

        found = words.order(self._listed or ())
        if event.option_index < len(found) and found[event.option_index].param:
            self._go_to_field(found[event.option_index].param)

    def action_fix(self) -> None:
        """Apply the first fix that is an edit."""
        from rftui.tui.planning import words

        found = words.order(self._listed or ())
        at = self.query_one("#findings", OptionList).highlighted
        if self.pane == "findings" and at is not None and at < len(found):
            found = [found[at]]
        elif self.pane == "form" and any(one.param == self.query_one(Form).cursor for one in found):
            found = [one for one in found if one.param == self.query_one(Form).cursor]
        fix = next((fix for one in found if (fix := words.applicable(one))), None)
        if fix is None or self.edits is None:
            self.notify("no fix that is an edit of these settings", severity="warning")
            return
        self._change(self.edits.with_values(fix.set))
        self.notify(fix.text, title="applied", markup=False)

    # --- machine, files, commands ----------------------------------------------------------------------

    def action_machine(self) -> None:
        """Ask for a machine to plan for."""
        from rftui.tui.planning.machines import machine_of, what_is_wrong

        if self.edits is None:
            return
        hint = "8xA100-80; 8xH100 4 for four machines; nothing for this machine"
        now = " ".join([self.edits.gpus or "", *[str(self.edits.nodes)] * (self.edits.nodes > 1)])

        def take(line: str | None) -> None:
            if line is not None and self.edits is not None:
                self._change(self.edits.planned_for(*machine_of(line)))

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
            self.app.push_screen(AskScreen("Write what would run to", hint, name, _no_file), self._write)

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

    def _try(self, do: Any, said: str) -> None:
        try:
            do()
        except FindingsError as error:
            self.notify(error.findings[0].cause, severity="error", markup=False)
        else:
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

    # --- launch ----------------------------------------------------------------------------------------

    @on(Button.Pressed, "#launch")
    def action_launch(self) -> None:
        """Start the run, unless something speaks against it."""
        if self.edits is None or self.ground is None or self.now is None:
            return
        why = ""
        if self.context.settings.readonly:
            why = "nothing is launched: readonly is set in the settings"
        elif self.edits.gpus is not None:
            why = f"this plan is for {self.edits.gpus}: G and an empty line plan for this machine"
        elif self.now.errors:
            why = f"not launched: {self.now.errors} error{'s' * (self.now.errors != 1)}; n goes to them"
        if why:
            self.notify(why, severity="warning", markup=False)
        else:
            self.app.push_screen(LaunchScreen(self.edits, self.ground), self._launched)

    def _launched(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        if outcome.fix and self.edits is not None:
            self._change(self.edits.with_values(outcome.fix))
            self._go_to_field(next(iter(outcome.fix)))
        if outcome.run is not None:
            self.app.call_later(self.rft.open_run, outcome.run, outcome.area)


def _no_file(line: str) -> str:
    if not line:
        return "give a file"
    path = Path(line).expanduser()
    return f"{path} exists: give another" if path.exists() else ""
