"""The samples screen as it is painted: lists of steps and samples, and what is known of one sample."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import Static

from engine.findings import Finding
from rftui.runs import trajectory_query
from rftui.runs.samples import LIMIT, Sample, StepSummary, Texts
from rftui.runs.trajectory_query import Query
from rftui.tui.context import Context
from rftui.tui.replay_mark import replay_mark
from rftui.tui.samples import diff, lines, shading
from rftui.tui.samples.arrange import ORDERS, worst_groups
from rftui.tui.screens.samples_reading import Compared, SamplesReading
from rftui.tui.widgets.fitted import Fitted
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.query_line import QueryLine
from rftui.tui.widgets.row_list import RowList
from rftui.tui.widgets.sample_text import SampleText


class SamplesShowing(SamplesReading):
    """Knows what is shown, and paints it; subclasses change it."""

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
        self.compared: Compared | None = None
        self.problem: Finding | None = None
        self.replayed: int | None = None
        """The step that a replay has got to; None without one, and at its end."""
        self._nth: int | None = None
        """Which other sample of the same prompt this one is compared with; None: with none."""
        self._worst = -1
        self._asked: Sample | None = None
        """Whose texts are shown, or read."""
        self._shown: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        yield Fitted(id="status")
        yield QueryLine(id="asking")
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

    @property
    def sample(self) -> Sample | None:
        """The sample under the cursor."""
        at = self.query_one("#samples", RowList).cursor
        return self.samples[at] if at < len(self.samples) else None

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
            replay=self._replay_mark(),
        )
        self.query_one("#status", Fitted).show(lambda width: lines.status(where, width))

    def _replay_mark(self) -> Content:
        """Of a run that is played again, since no later samples are shown."""
        clock = self.context.clock
        if clock is None:
            return Content("")
        return (
            replay_mark(clock.speed, "at its end" if self.replayed is None else f"step {self.replayed}") + " "
        )
