"""What the model wrote: the samples that a run keeps, by step and group, with what they were worth."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from engine.findings import Finding
from rftui.runs import trajectory_query
from rftui.runs.samples import LIMIT, Sample, StepSummary, Texts
from rftui.runs.trajectory_query import Query
from rftui.tui.context import Context
from rftui.tui.keys import Key, bindings
from rftui.tui.samples import diff, lines, shading
from rftui.tui.samples.arrange import ORDERS, arranged, worst_groups
from rftui.tui.screens import samples_reading as said
from rftui.tui.screens.ask import AskScreen, why_no_new_file
from rftui.tui.screens.samples_keys import SAMPLES_KEYS
from rftui.tui.screens.samples_reading import SamplesReading
from rftui.tui.widgets.fitted import Fitted
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.row_list import ROW_KEYS, RowList
from rftui.tui.widgets.sample_text import SampleText

WIDTHS = [(0, "-xs"), (100, "-md"), (150, "-wide"), (200, "-lg")]


class SamplesScreen(SamplesReading):
    """Steps, the samples of one of them or those that were searched for, and the texts of one sample."""

    CSS_PATH = "samples.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = (*SAMPLES_KEYS, *ROW_KEYS)
    BINDINGS: ClassVar[list[BindingType]] = bindings(SAMPLES_KEYS)
    CHANGING = ("export",)
    HORIZONTAL_BREAKPOINTS = WIDTHS
    AUTO_FOCUS = "#samples"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.steps: list[int] = []
        self.summaries: dict[int, StepSummary] = {}
        self.step: int | None = None
        self.query_now: Query | None = None
        """What is searched for; None: the samples of `step` are shown."""
        self.searched = ""
        self.found: list[Sample] = []
        self.samples: list[Sample] = []
        """Those found, in their order."""
        self.order = 0
        self.following = True
        self.marks = True
        self.texts: Texts | None = None
        self.compared: said.Compared | None = None
        self.problem: Finding | None = None
        self._nth: int | None = None
        """Which other sample of the same prompt this one is compared with; None: with none."""
        self._worst = -1
        self._asked: Sample | None = None
        """Whose texts are shown, or read."""
        self._shown: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        yield Fitted(id="status")
        yield Input(id="query", placeholder=trajectory_query.HELP, compact=True)
        yield Static(id="wrong")
        yield Static(id="message")
        with Container(id="body"):
            with Container(id="lists"):
                yield RowList(id="steps")
                with Vertical(id="list"):
                    yield Fitted(id="heading")
                    yield RowList(id="samples")
            with Vertical(id="reading"):
                yield Fitted(id="facts")
                yield SampleText(id="texts")
                yield Fitted(id="legend")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Look for samples, again and again."""
        self.query_one("#query").display = False
        self.query_one("#wrong").display = False
        for id, title in (("steps", "step · reward · kept"), ("list", "samples"), ("reading", "sample")):
            self.query_one(f"#{id}").border_title = title
        self._show_message(Content.styled("looking for samples", "$quiet italic"))
        self.look_every(self.context.settings.refresh_s, self.look)

    # --- what was read ---------------------------------------------------------------------------------

    @on(said.Looked)
    def looked(self, message: said.Looked) -> None:
        """Show the newest step, if it is followed, and nothing is searched for."""
        was_problem, self.problem = self.problem, None
        if message.newest is None:
            self._show_message(
                Content("No samples have been kept yet: the first ones come with the first step.")
            )
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

    # --- showing ---------------------------------------------------------------------------------------

    @property
    def sample(self) -> Sample | None:
        """The sample under the cursor."""
        at = self.query_one("#samples", RowList).cursor
        return self.samples[at] if at < len(self.samples) else None

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

    def _show_list(self, cursor: int) -> None:
        found = self.query_now is not None
        self.query_one("#samples", RowList).show(
            len(self.samples), lambda at, width: lines.sample_line(self.samples[at], width, found), cursor
        )
        self._show_heading()
        self._show_status()

    def _show_heading(self) -> None:
        found, note = self.query_now is not None, ORDERS[self.order].words
        if self._worst >= 0:
            note += f", worst group {self._worst + 1} of {len(worst_groups(self.samples))}"
        if len(self.found) >= LIMIT:
            note += f", first {LIMIT}"
        self.query_one("#heading", Fitted).show(lambda width: lines.heading(width, found, note))
        self.query_one("#list").border_subtitle = note

    def _show_steps(self) -> None:
        def line(at: int, width: int) -> Content:
            return lines.step_line(self.steps[at], self.summaries.get(self.steps[at]), width)

        at = self.steps.index(self.step) if self.step in self.steps else len(self.steps) - 1
        self.query_one("#steps", RowList).show(len(self.steps), line, at)
        self._sum_up()

    @on(RowList.Scrolled)
    def _sum_up(self) -> None:
        """Of the steps in sight and of the one shown."""
        rows = self.query_one("#steps", RowList)
        wanted = {self.steps[at] for at in rows.in_sight if at < len(self.steps)} | {self.step}
        missing = [step for step in wanted if step is not None and step not in self.summaries]
        if missing:
            self.sum_up(missing)

    def _show_sample(self) -> None:
        sample, texts, compared = self.sample, self.texts, self.compared
        facts, legend = self.query_one("#facts", Fitted), self.query_one("#legend", Fitted)
        if sample is None or texts is None:
            facts.show(lambda width: Content(""))
            legend.show(lambda width: Content(""))
            self.query_one(SampleText).show(Content(""), Content(""), "response")
            return
        facts.show(lambda width: lines.facts(sample, texts, width))
        if compared is not None and compared.other is not None:
            response = diff.painted(compared.parts)
            changed = any(part.kind != "same" for part in compared.parts)
            title = lines.diff_title(sample, compared.other, self._nth or 0, compared.of, changed=changed)
            legend.show(lambda width: lines.diff_legend())
        else:
            response = shading.marked(texts) if self.marks else shading.shown(texts.response)
            title = "response"
            legend.show(lambda width: shading.legend(texts, width) if self.marks else lines.MARKS_OFF)
        self.query_one(SampleText).show(shading.shown(texts.prompt), response, title)

    def _show_message(self, words: Content | None) -> None:
        """Words in place of samples, or the samples again."""
        self.set_class(words is not None, "-empty")
        if words is not None:
            self.query_one("#message", Static).update(words)

    def _show_status(self) -> None:
        where = lines.Where(
            run=self.context.the_run.name,
            step=self.step,
            steps=self.steps,
            summary=None if self.step is None else self.summaries.get(self.step),
            following=self.following,
            found=None if self.query_now is None else len(self.found),
            query=""
            if self.query_now is None
            else trajectory_query.described(self.query_now) + self.searched,
            problem=self.problem.cause if self.problem and self.samples else "",
        )
        self.query_one("#status", Fitted).show(lambda width: lines.status(where, width))

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

    def action_search(self) -> None:
        """Type what to look for."""
        box = self.query_one("#query", Input)
        box.display = True
        box.focus()

    @on(Input.Changed, "#query")
    def typed(self, event: Input.Changed) -> None:
        """Say at once what is wrong with it."""
        if not event.input.display:
            return
        try:
            wrong = trajectory_query.described(trajectory_query.parse(event.value))
            sign = "→ " if wrong else ""
        except ValueError as error:
            wrong, sign = str(error), "✖ "
        line = self.query_one("#wrong", Static)
        line.display = True
        line.update(Content(sign + (shading.printable(wrong) or trajectory_query.HELP)))
        line.set_class(sign == "✖ ", "-error")

    @on(Input.Submitted, "#query")
    def submitted(self, event: Input.Submitted) -> None:
        """Search for it."""
        try:
            query = trajectory_query.parse(event.value)
        except ValueError:
            return
        self.query_one("#wrong").display = False
        self.query_one("#samples").focus()
        if query == Query():
            self._leave_search()
            if self.step is not None:
                self._go_to_step(self.step)
            return
        self.query_now, self.searched = query, ", searching"
        self.following = False
        self._take([])
        self.find(query)

    def _leave_search(self) -> None:
        box = self.query_one("#query", Input)
        if self.query_now is not None or box.display:
            box.value = ""
            box.display = False
            self.query_one("#wrong").display = False
            self.query_now = None

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

    async def action_back(self) -> None:
        """One thing less: differences, zoom, search; then live."""
        if self.query_one("#query").has_focus and self.query_now is None:
            self._leave_search()
            self.query_one("#samples").focus()
        elif self._nth is not None:
            self._nth = self.compared = None
            self._show_sample()
        elif self.has_class("-zoom"):
            self.action_zoom()
        elif self.query_now is not None:
            self.query_one("#samples").focus()
            if self.step is not None:
                self._go_to_step(self.step)
        else:
            await self.rft.open_area("live")
