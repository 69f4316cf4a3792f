"""What the model wrote: the samples that a run keeps, by step and group, with what they were worth."""

from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input

from rftui.runs.samples import LIMIT, Sample
from rftui.runs.trajectory_query import Query
from rftui.tui.keys import Key, bindings
from rftui.tui.samples import shading
from rftui.tui.samples.arrange import ORDERS, arranged, worst_groups
from rftui.tui.screens import samples_reading as said
from rftui.tui.screens.samples_keys import SAMPLES_KEYS
from rftui.tui.screens.samples_taking import TakingSamples
from rftui.tui.widgets.query_line import QueryLine
from rftui.tui.widgets.row_list import ROW_KEYS, RowList

WIDTHS = [(0, "-xs"), (100, "-md"), (150, "-wide"), (200, "-lg")]


class SamplesScreen(TakingSamples):
    """Steps, the samples of one of them or those that were searched for, and the texts of one sample."""

    CSS_PATH = "samples.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = (*SAMPLES_KEYS, *ROW_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SAMPLES_KEYS)
    HORIZONTAL_BREAKPOINTS = WIDTHS
    AUTO_FOCUS = "#samples"

    def on_mount(self) -> None:
        """Look for samples, again and again."""
        for id, title in (("steps", "step · reward · kept"), ("list", "samples"), ("reading", "sample")):
            self.query_one(f"#{id}").border_title = title
        self._show_message(Content.styled("looking for samples", "$quiet italic"))
        self.look_every(self.context.settings.refresh_s, self.look)

    # --- what was read ---------------------------------------------------------------------------------

    @on(said.Looked)
    def looked(self, message: said.Looked) -> None:
        """Show the newest step, if it is followed, and nothing is searched for."""
        was_problem, self.problem = self.problem, None
        if message.replayed != self.replayed:
            self.replayed = message.replayed
            self._show_status()
        if message.newest is None:
            self._forget()
            self._show_message(Content(message.why_none))
            return
        if message.newest != self._shown or was_problem is not None:
            self._shown = message.newest
            self.summaries.pop(message.newest[0], None)
            self._show_newest(message.newest[0], message.steps)
        elif message.steps == self.steps:
            return
        self.steps = message.steps
        self._show_steps()
        self._show_status()

    def _forget(self) -> None:
        """Nothing is there, any more: a replay was set back, or samples were removed."""
        if self._shown is not None:
            self._shown, self.step, self.steps = None, None, []
            self._leave_search()
            self._show_steps()
            self._take([])

    def _show_newest(self, newest: int, steps: list[int]) -> None:
        """Show the newest step if it is followed, or shown and has grown."""
        if self.query_now is not None:
            return
        if self.step is None or self.following or self.step not in steps:
            self.step = newest
        self.load(self.step)

    @on(said.Loaded)
    def loaded(self, message: said.Loaded) -> None:
        """Show the samples of a step."""
        if self.query_now is None and message.step == self.step:
            self._take(message.samples)

    @on(said.Found)
    def take_found(self, message: said.Found) -> None:
        """Show what was found so far."""
        if message.query != self.query_now:
            return
        full = len(message.samples) >= LIMIT
        self.searched = "" if message.done and not full else f", down to step {message.down_to}"
        if not message.done:
            self.searched += ", searching on"
        elif full:
            self.searched += ", list full"
        if [each.id for each in message.samples] != [each.id for each in self.found] or message.done:
            self._take(message.samples)
        self._show_status()

    @on(said.Read)
    def take_texts(self, message: said.Read) -> None:
        """Show the texts of the sample under the cursor."""
        if message.sample == self.sample:
            self.texts = message.texts
            self._show_sample()

    @on(said.Compared)
    def take_compared(self, message: said.Compared) -> None:
        """Show what changed."""
        if message.sample != self.sample or self._nth is None:
            return
        if message.other is None:
            self._nth = None
            self.notify("no other sample of this prompt was kept", severity="warning")
            return
        self.compared = message
        self._show_sample()

    @on(said.Summed)
    def summed(self, message: said.Summed) -> None:
        """Show what was kept of the steps in sight."""
        self.summaries |= message.summaries
        self.query_one("#steps", RowList).refresh()
        self._show_status()

    @on(said.Failed)
    def failed(self, message: said.Failed) -> None:
        """Say why nothing is read; what is shown stays."""
        self.problem, self._shown, self._asked = message.finding, None, None
        if not self.samples:
            fixes = "".join(f"\n→ {fix.text}" for fix in message.finding.fixes)
            self._show_message(Content(shading.printable(message.finding.cause + fixes)))
        self._show_status()

    def _take(self, found: list[Sample]) -> None:
        """Show other samples; the cursor stays on its sample where that is still there."""
        before = self.sample
        self.found, self.samples = found, arranged(found, ORDERS[self.order])
        ids = [each.id for each in self.samples]
        self._worst = -1
        self._show_list(ids.index(before.id) if before and before.id in ids else 0)
        self._show_message(None)
        self._read()

    def _read(self) -> None:
        """The texts of the sample under the cursor, unless they are shown."""
        if self.sample == self._asked and self.sample is not None:
            return
        self._asked = self.sample
        self.texts = self.compared = None
        if self.sample is None:
            self._show_sample()
            return
        self.read(self.sample)
        if self._nth is not None:
            self._nth = 0
            self.compare(self.sample, 0)

    # --- moving ----------------------------------------------------------------------------------------

    @on(RowList.Moved, "#samples")
    def moved(self) -> None:
        """The user reads a sample: nothing may come in between."""
        self.following = False
        self._show_status()
        self._read()

    @on(RowList.Moved, "#steps")
    def moved_to_step(self) -> None:
        """The samples of the step under the cursor."""
        self._go_to_step(self.steps[self.query_one("#steps", RowList).cursor], by_user=True)

    def action_sample(self, by: int) -> None:
        """Another sample of the list."""
        self.query_one("#samples", RowList).action_move(by)

    def action_step(self, by: int) -> None:
        """The samples of another step."""
        if not self.steps:
            return
        at = self.steps.index(self.step) if self.step in self.steps else len(self.steps)
        self._go_to_step(self.steps[max(0, min(at + by, len(self.steps) - 1))], by_user=True)

    def _go_to_step(self, step: int, by_user: bool = False) -> None:
        if by_user:
            self.following = False
        self._leave_search()
        self.step = step
        self.load(step)
        self._show_steps()
        self._show_status()

    def action_follow(self) -> None:
        """The newest step, and each that comes."""
        self.following = True
        if self.steps:
            self._go_to_step(self.steps[-1])
        self._show_status()

    def action_sort(self) -> None:
        """The next order."""
        self._worst = -1
        self.order = (self.order + 1) % len(ORDERS)
        self.samples = arranged(self.found, ORDERS[self.order])
        self._show_list(0)
        self._read()

    def action_worst(self) -> None:
        """The group with the lowest mean reward, then the next one."""
        groups = worst_groups(self.samples)
        if not groups:
            return
        self._worst = (self._worst + 1) % len(groups)
        step, prompt = groups[self._worst]
        at = next(
            i for i, each in enumerate(self.samples) if (each.step, each.prompt_index) == (step, prompt)
        )
        self.query_one("#samples", RowList).move_to(at, self.samples[at].group.count)
        self._show_heading()

    # --- searching -------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a query a slash is text."""
        if action == "search":
            return not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    def action_search(self) -> None:
        """Type what to look for."""
        self.query_one(QueryLine).ask()

    @on(QueryLine.Asked)
    def search(self, message: QueryLine.Asked) -> None:
        """Search for it; for nothing: show a step again."""
        self.set_focus(self.query_one("#samples"))
        if message.query == Query():
            self._leave_search()
            if self.step is not None:
                self._go_to_step(self.step)
            return
        self.query_now, self.searched = message.query, ", searching"
        self.following = False
        self._take([])
        self.find(message.query)

    def _leave_search(self) -> None:
        self.query_now = None
        self.query_one(QueryLine).close()

    # --- one sample ------------------------------------------------------------------------------------

    def action_diff(self) -> None:
        """What changed since the last step that had this prompt, then since the one before."""
        if self.sample is not None:
            self._nth = 0 if self._nth is None else self._nth + 1
            self.compare(self.sample, self._nth)

    def action_marks(self) -> None:
        """With marks on tokens, or without."""
        self.marks = not self.marks
        self._show_sample()

    def action_unfold(self) -> None:
        """All of the prompt, or its first lines."""
        self.toggle_class("-unfolded")

    def action_zoom(self) -> None:
        """The texts over the whole screen, or not."""
        self.toggle_class("-zoom")
        self.query_one("#texts" if self.has_class("-zoom") else "#samples").focus()

    async def action_back(self) -> None:
        """One thing less: differences, zoom, search; then live."""
        if self.query_one(QueryLine).field.has_focus and self.query_now is None:
            self._leave_search()
            self.set_focus(self.query_one("#samples"))
        elif self._nth is not None:
            self._nth = self.compared = None
            self._show_sample()
        elif self.has_class("-zoom"):
            self.action_zoom()
        elif self.query_now is not None:
            self.set_focus(self.query_one("#samples"))
            if self.step is not None:
                self._go_to_step(self.step)
        else:
            await self.rft.open_area("live")
