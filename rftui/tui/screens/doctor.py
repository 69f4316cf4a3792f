"""Whether this machine can train: the checks as they answer, and what mends each."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.worker import get_current_worker

from diagnostics.doctor.check import Check
from diagnostics.doctor.this_host import ThisHost
from engine.findings import Finding, FindingsError
from rftui.tui.context import Context
from rftui.tui.doctor import looks
from rftui.tui.doctor.board import WRONG, Board, Row
from rftui.tui.doctor.examine import Answer, Subject, examine, known_checks, look_at, mend
from rftui.tui.doctor.ignored import Ignored, ignored_path, read_ignored, write_ignored
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.area import AreaScreen
from rftui.tui.screens.ask import AskScreen, why_no_new_file
from rftui.tui.screens.confirm import ConfirmScreen
from rftui.tui.screens.doctor_keys import DOCTOR_KEYS
from rftui.tui.widgets.footer import Footer
from rftui.tui.widgets.option_rows import show_rows
from rftui.tui.widgets.options import Options
from rftui.tui.widgets.text_pane import TextPane

PAINT_S = 0.05
"""Answers that come within this time are painted together."""
REPORT = "rft-doctor-report.md"


class DoctorScreen(AreaScreen):
    """Checks run in threads, which post a message per answer; handlers only paint."""

    class Known(Message):
        """Which checks there are, and which of them are ignored; or why that is not known."""

        def __init__(
            self, checks: tuple[Check, ...], ignored: dict[str, Ignored], problems: tuple[Finding, ...]
        ) -> None:
            super().__init__()
            self.checks, self.ignored, self.problems = checks, ignored, problems

    class Looking(Message):
        """The machine that is examined now."""

        def __init__(self, host: ThisHost, problems: tuple[Finding, ...]) -> None:
            super().__init__()
            self.host, self.problems = host, problems

    class Answered(Message):
        """A check has ended."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    class Mended(Message):
        """A fix was tried."""

        def __init__(self, check: str, words: str, error: str | None) -> None:
            super().__init__()
            self.check, self.words, self.error = check, words, error

    CSS_PATH = "doctor.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = DOCTOR_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(DOCTOR_KEYS)
    CHANGING = ("fix", "active", "export")
    AUTO_FOCUS = "#checks"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.board = Board()
        self.subject = Subject(context.run, "" if context.run else context.preset)
        self._answers: dict[str, Answer] = {}
        self._host: ThisHost | None = None
        self._painting = False
        self._offered: list[bool] = []

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Input(id="filter", placeholder="words; esc shows all again", compact=True)
        with Horizontal(id="panels"):
            with Vertical(id="left"):
                yield Options(id="checks")
            yield TextPane(id="details", title="details")
        yield Footer()

    def on_mount(self) -> None:
        """Learn which checks there are, then run the fast ones."""
        self.query_one("#checks").border_title = "checks"
        self.query_one("#filter").display = False
        self._paint()
        self.learn()

    def on_screen_resume(self) -> None:
        """Another run or preset may have been opened meanwhile."""
        if self.board.checks and self.subject not in self._subjects():
            self._choose(self._subjects()[0])

    def on_resize(self) -> None:
        """Lines have another width."""
        self.call_after_refresh(self._paint)

    # --- examining -------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="learn", exit_on_error=False)
    def learn(self) -> None:
        """Import the checks, and read which are ignored."""
        ignored: dict[str, Ignored] = {}
        problems: tuple[Finding, ...] = ()
        try:
            ignored = read_ignored(ignored_path())
        except FindingsError as error:
            problems = error.findings
        self.post_message(self.Known(known_checks(), ignored, problems))

    def on_doctor_screen_known(self, message: "DoctorScreen.Known") -> None:
        """Run what is quick."""
        self._tell(message.problems)
        self.board = Board(message.checks, ignored=message.ignored)
        self._run(self.board.shown)

    def _run(self, checks: tuple[Check, ...]) -> None:
        checks = tuple(check for check in checks if check.id not in self.board.running)
        if checks:
            self.board = self.board.started(checks)
            self._paint()
            self.examine(checks, self.subject)

    @work(thread=True, group="examine", exit_on_error=False)
    def examine(self, checks: tuple[Check, ...], subject: Subject) -> None:
        """Look at the machine anew; answers are posted as they come."""
        worker = get_current_worker()
        host, problems = look_at(subject, self.context.runs_dir)
        self.post_message(self.Looking(host, problems))

        def told(answer: Answer) -> None:
            if not worker.is_cancelled:
                self.post_message(self.Answered(answer))

        examine(checks, host, subject, told)

    def on_doctor_screen_looking(self, message: "DoctorScreen.Looking") -> None:
        """Keep it for fixes and the report."""
        self._host = message.host
        self._tell(message.problems)

    def on_doctor_screen_answered(self, message: "DoctorScreen.Answered") -> None:
        """Show it, together with others that come at the same time."""
        self.board = self.board.ended([message.answer.result])
        self._answers[message.answer.result.id] = message.answer
        if not self._painting:
            self._painting = True
            self.set_timer(PAINT_S, self._paint)

    def _tell(self, problems: tuple[Finding, ...]) -> None:
        for problem in problems:
            self.notify(f"{problem.id}: {problem.cause}", severity="error", markup=False)

    # --- painting --------------------------------------------------------------------------------------

    def _paint(self) -> None:
        self._painting = False
        if not self.is_mounted:
            return
        options, head = self.query_one("#checks", OptionList), self.query_one("#head", Static)
        head.update(looks.head(self.board, self.subject.words, max(20, self.size.width - 2)))
        width = max(30, options.scrollable_content_region.width - 2)
        words = self.query_one("#filter", Input).value
        rows = self.board.rows(words)
        shown = {}
        for category in dict.fromkeys(row.check.category for row in rows):
            members = [row for row in rows if row.check.category == category]
            listed = [row for row in members if words or row.state != "not-applicable"]
            shown[category] = looks.heading(category, members, len(listed), width)
            shown |= {row.check.id: looks.row_line(row, width) for row in listed}
        show_rows(options, shown, {id for id in shown if "." not in id})
        self._paint_details()

    def _paint_details(self) -> None:
        row = self.chosen
        self.query_one("#details", TextPane).show(lambda width: looks.details(row, width))
        offered = [bool(self.check_action(key.action, ())) for key in DOCTOR_KEYS]
        if offered != self._offered:  # a new footer takes longer than all the rest
            self._offered = offered
            self.refresh_bindings()

    @property
    def chosen(self) -> Row | None:
        """The check under the cursor."""
        option = self.query_one("#checks", OptionList).highlighted_option if self.is_mounted else None
        return self.board.row(option.id) if option is not None and option.id else None

    @on(OptionList.OptionHighlighted, "#checks")
    def show_details(self) -> None:
        """Another check is under the cursor."""
        self._paint_details()

    # --- keys ------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        if not super().check_action(action, parameters):
            return False
        if action in ("again", "fix", "copy", "ignore"):
            row = self.chosen
            if row is None or row.state in ("checking", "waiting"):
                return False
            if action == "fix":
                answer = self._answers.get(row.check.id)
                return bool(answer and answer.proposal)
            if action == "copy":
                return bool(self._command(row))
            return action == "again" or row.state in (*WRONG, "ignored")
        if action == "next_wrong":
            return any(row.state in WRONG for row in self.board.rows())
        if action in ("deep", "active"):
            return action not in self.board.tiers and bool(self.board.checks)
        if action == "export":
            return self._host is not None and not self.board.running
        return action != "subject" or len(self._subjects()) > 1

    def action_again(self) -> None:
        """Run the chosen check once more."""
        if self.chosen is not None:
            self._run((self.chosen.check,))

    def action_all_again(self) -> None:
        """Run all that are shown once more."""
        self._run(self.board.shown)

    def action_deep(self) -> None:
        """Also run the deep checks."""
        self._include("deep")

    def action_active(self) -> None:
        """Also run the active checks, if the user agrees."""
        lines = [f"{check.id}: {check.title}" for check in self.board.of_tiers("active")]
        question = "Run the active checks? They use all GPUs and the network for up to some minutes, "
        question += "and disturb what runs on them."
        dialog = ConfirmScreen(question, lines, "Run them", "Do not run them")
        self.app.push_screen(dialog, lambda agreed: self._include("active") if agreed else None)

    def _include(self, tier: str) -> None:
        checks = tuple(check for check in self.board.checks if check.tier == tier)
        self.board = replace(self.board, tiers=self.board.tiers | {check.tier for check in checks})
        self._run(checks)

    def action_fix(self) -> None:
        """Ask whether to do what can be done about the chosen check."""
        row = self.chosen
        answer = self._answers.get(row.check.id) if row else None
        if row is None or answer is None or answer.proposal is None:
            return
        proposal, id = answer.proposal, row.check.id
        dialog = ConfirmScreen(
            proposal.finding.cause, [proposal.fix.text, "", f"  {proposal.words}"], "Do it"
        )

        def answered(agreed: bool | None) -> None:
            if agreed:
                self.mend(id, answer)

        self.app.push_screen(dialog, answered)

    @work(thread=True, group="mend", exit_on_error=False)
    def mend(self, check: str, answer: Answer) -> None:
        """Do it."""
        assert answer.proposal is not None and self._host is not None
        self.post_message(self.Mended(check, answer.proposal.words, mend(answer.proposal, self._host)))

    def on_doctor_screen_mended(self, message: "DoctorScreen.Mended") -> None:
        """Say so, and look again."""
        if message.error is not None:
            self.notify(f"it did not work: {message.error}", severity="error", markup=False)
        else:
            self.notify(f"done: {message.words}", markup=False)
        self._run(tuple(check for check in self.board.checks if check.id == message.check))

    def action_copy(self) -> None:
        """Copy the command that mends the chosen check."""
        if self.chosen is not None and (command := self._command(self.chosen)):
            self.app.copy_to_clipboard(command)
            self.notify(f"copied: {command}", markup=False)

    def _command(self, row: Row) -> str:
        from rftui.cli.report import how

        fixes = [fix for finding in row.result.findings for fix in finding.fixes] if row.result else []
        return next((command for fix in fixes if (command := how(fix))), "")

    def action_ignore(self) -> None:
        """Ask for the reason; or show again what was ignored."""
        row = self.chosen
        if row is None:
            return
        if row.ignored is not None:
            self._keep({id: entry for id, entry in self.board.ignored.items() if id != row.check.id})
            return
        ask = AskScreen(
            f"Why ignore {row.check.id}? {row.said}",
            "It stays in sight as ignored, and comes back should it get worse.",
            check=lambda line: "" if line else "give a reason",
        )
        self.app.push_screen(ask, lambda reason: self._ignore(row, reason) if reason else None)

    def _ignore(self, row: Row, reason: str) -> None:
        assert row.result is not None
        findings = tuple(sorted({finding.id for finding in row.result.findings}))
        entry = Ignored(reason, row.result.status, findings)
        self._keep({**self.board.ignored, row.check.id: entry})

    def _keep(self, ignored: dict[str, Ignored]) -> None:
        self.board = replace(self.board, ignored=ignored)
        self._paint()
        self.keep(ignored)

    @work(thread=True, group="keep", exit_on_error=False)
    def keep(self, ignored: dict[str, Ignored]) -> None:
        """Write down what is ignored."""
        try:
            write_ignored(ignored_path(), ignored)
        except FindingsError as error:
            self._tell(error.findings)

    def action_export(self) -> None:
        """Ask for the file of the report."""
        ask = AskScreen(
            "Write the report to", "Markdown; read it before you paste it", REPORT, why_no_new_file
        )

        def answered(path: str | None) -> None:
            if path:
                self.export(Path(path).expanduser())

        self.app.push_screen(ask, answered)

    @work(thread=True, group="export", exit_on_error=False)
    def export(self, path: Path) -> None:
        """Write the report."""
        from rftui.cli.doctor_paste import pasted

        assert self._host is not None
        results = [row.result for row in self.board.rows() if row.result is not None]
        tiers = [f"--{tier}" for tier, _ in looks.OPTIONAL if tier in self.board.tiers]
        try:
            path.write_text(pasted(results, self._host, ["rft", "doctor", *tiers, *self.subject.arguments]))
        except OSError as error:
            self.notify(f"{path}: {error.strerror or error}", severity="error", markup=False)
        else:
            self.notify(f"the report is in {path}", markup=False)

    def action_subject(self) -> None:
        """Check for the open run, the open preset, or nobody."""
        subjects = self._subjects()
        at = subjects.index(self.subject) if self.subject in subjects else -1
        self._choose(subjects[(at + 1) % len(subjects)])

    def _subjects(self) -> list[Subject]:
        context = self.rft.context
        found = [Subject(run=context.run)] if context.run else []
        found += [Subject(preset=context.preset)] if context.preset else []
        return [*found, Subject()]

    def _choose(self, subject: Subject) -> None:
        self.subject = subject
        self._run(self.board.shown)

    def action_next_wrong(self) -> None:
        """Go to the next check that is not well."""
        options = self.query_one("#checks", OptionList)
        wrong = [row.check.id for row in self.board.rows() if row.state in WRONG]
        places = [options.get_option_index(id) for id in wrong if _listed(options, id)]
        now = options.highlighted if options.highlighted is not None else -1
        if places:
            options.highlighted = next((at for at in places if at > now), places[0])

    def action_filter(self) -> None:
        """Ask for words."""
        self.query_one("#filter").display = True
        self.query_one("#filter").focus()

    @on(Input.Changed, "#filter")
    def filter_rows(self) -> None:
        """Only rows with these words."""
        self._paint()

    @on(Input.Submitted, "#filter")
    def filtered(self) -> None:
        """Back to the list."""
        self.query_one("#checks").focus()

    async def action_back(self) -> None:
        """Out of the filter, else home."""
        words = self.query_one("#filter", Input)
        if words.display:
            words.value, words.display = "", False
            self.query_one("#checks").focus()
        else:
            await self.app.run_action("area('home')")


def _listed(options: OptionList, id: str) -> bool:
    return any(options.get_option_at_index(at).id == id for at in range(options.option_count))
