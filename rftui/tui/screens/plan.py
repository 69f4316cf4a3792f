"""A preset as it would run here: every parameter, what it needs, what speaks against it; and its launch."""

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widgets import Button, Input, OptionList

from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.launch import LaunchScreen, Outcome
from rftui.tui.screens.plan_files import FilesScreen
from rftui.tui.screens.plan_keys import PLAN_KEYS
from rftui.tui.widgets.parameter_form import FORM_KEYS, Form
from rftui.tui.widgets.value_editor import Editor

if TYPE_CHECKING:
    from rftui.tui.planning.edits import Edits
    from rftui.tui.planning.rows import Field


class PlanScreen(FilesScreen):
    """Edits of the form, fixes of findings, the launch."""

    CSS_PATH = "plan.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = (*PLAN_KEYS, *FORM_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(PLAN_KEYS)
    CHANGING = ("write", "save")
    AUTO_FOCUS = "#form"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._before_edit: Edits | None = None

    def on_mount(self) -> None:
        """Read the preset, or ask for one."""
        if self.context.preset:
            self.look()
        else:
            self.action_presets()

    # --- editing ---------------------------------------------------------------------------------------

    @on(Form.Chosen)
    def action_edit(self) -> None:
        """Open the editor on the value; a switch is turned over at once."""
        from rftui.tui.planning.fields import edit_text, options

        field, place = self.query_one(Form).field, self.query_one(Form).place_of_value()
        if field is None or place is None or self.edits is None:
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

    @on(Input.Changed, "#editor")
    def typed(self, event: Input.Changed) -> None:
        """Consider what stands in the editor."""
        from rftui.tui.planning.fields import parsed

        field = self.query_one(Form).field
        if field is not None and self._before_edit is not None:
            self.change(self._before_edit.with_value(field.key, parsed(event.value, field)))

    @on(Input.Submitted, "#editor")
    def keep(self) -> None:
        """Keep what was typed."""
        self.set_focus(self.query_one(Form))

    @on(Editor.Closed)
    def closed(self) -> None:
        """The focus has left the editor: what was typed stays."""
        self._before_edit = None

    @on(Editor.Left)
    def leave(self) -> None:
        """As it was before."""
        if self._before_edit is not None:
            self.change(self._before_edit)
            self._before_edit = None
        self.keep()

    def action_cycle(self, by: int) -> None:
        """The next of a parameter's values."""
        from rftui.tui.planning.fields import edit_text, options, parsed

        field = self.query_one(Form).field
        if field is None or self.edits is None:
            return
        there = options(field.parameter)
        if field.refused or not there:
            return
        present = edit_text(self._value(field))
        at = there.index(present) if present in there else -1
        self.change(self.edits.with_value(field.key, parsed(there[(at + by) % len(there)], field)))

    def action_pin(self) -> None:
        """Make the planner's choice a value of the user's, or let go of one."""
        field = self.query_one(Form).field
        if field is None or self.edits is None:
            return
        if field.origin == "user":
            self.action_revert()
        elif field.origin == "planner":
            self.change(self.edits.with_value(field.key, self._value(field)))
            self.notify(f"{field.parameter.name} stays {field.value}", markup=False)
        else:
            self.notify("only what the planner chose can be pinned; enter edits", severity="warning")

    def action_revert(self) -> None:
        """Without the user's value."""
        field = self.query_one(Form).field
        if field is not None and self.edits is not None and field.key in self.edits.values:
            self.change(self.edits.without(field.key))

    def action_as_is(self) -> None:
        """With the planner's choices, or without."""
        if self.edits is not None:
            self.change(self.edits.switched_as_is())

    # --- findings --------------------------------------------------------------------------------------

    def action_next_error(self) -> None:
        """The next field with something wrong."""
        wrong = [field.key for field in self.fields if field.severity == "error"]
        wrong = wrong or [field.key for field in self.fields if field.severity]
        if not wrong:
            if self.listed:
                self.go_to_pane("findings")
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
        self.show_form()
        self.go_to_pane("form")
        self.query_one(Form).go_to(key)

    @on(OptionList.OptionSelected, "#findings")
    def go_to_finding(self, event: OptionList.OptionSelected) -> None:
        """The field that a finding is about."""
        from rftui.tui.planning import words

        found = words.order(self.listed or ())
        if event.option_index < len(found) and found[event.option_index].param:
            self._go_to_field(found[event.option_index].param)

    def action_fix(self) -> None:
        """Apply the first fix that is an edit."""
        from rftui.tui.planning import words

        found = words.order(self.listed or ())
        at = self.query_one("#findings", OptionList).highlighted
        if self.pane == "findings" and at is not None and at < len(found):
            found = [found[at]]
        elif self.pane == "form" and any(one.param == self.query_one(Form).cursor for one in found):
            found = [one for one in found if one.param == self.query_one(Form).cursor]
        fix = next((fix for one in found if (fix := words.applicable(one))), None)
        if fix is None or self.edits is None:
            self.notify("no fix that is an edit of these settings", severity="warning")
            return
        self.change(self.edits.with_values(fix.set))
        self.notify(fix.text, title="applied", markup=False)

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
            self.change(self.edits.with_values(outcome.fix))
            self._go_to_field(next(iter(outcome.fix)))
        if outcome.run is not None:
            self.app.call_later(self.rft.open_run, outcome.run, outcome.area)
