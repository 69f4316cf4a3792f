"""The examining behind the doctor's screen: checks run in threads, which post a message per answer."""

from textual import work
from textual.message import Message
from textual.worker import get_current_worker

from diagnostics.doctor.check import Check, Tier
from diagnostics.doctor.this_host import ThisHost
from engine.findings import Finding, FindingsError
from rftui.tui.context import Context
from rftui.tui.doctor.board import Board
from rftui.tui.doctor.examine import Answer, Subject, examine, known_checks, look_at
from rftui.tui.doctor.ignored import Ignored, ignored_path, read_ignored
from rftui.tui.screens.area import AreaScreen

PAINT_S = 0.05
"""Answers that come within this time are painted together."""


class ExaminingScreen(AreaScreen):
    """Knows which checks there are, what they answered, and of which run or preset."""

    class Known(Message):
        """Which checks there are, and which of them are ignored; or why that is not known."""

        def __init__(
            self, checks: tuple[Check, ...], ignored: dict[str, Ignored], problems: tuple[Finding, ...]
        ) -> None:
            super().__init__()
            self.checks, self.ignored, self.problems = checks, ignored, problems

    class Looking(Message):
        """The machine that is examined now."""

        def __init__(self, host: ThisHost, problems: tuple[Finding, ...], subject: Subject) -> None:
            super().__init__()
            self.host, self.problems, self.subject = host, problems, subject

    class Answered(Message):
        """A check has ended."""

        def __init__(self, answer: Answer, subject: Subject) -> None:
            super().__init__()
            self.answer, self.subject = answer, subject

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.board = Board()
        self.subject = Subject(context.run, "" if context.run else context.preset)
        self.answers: dict[str, Answer] = {}
        """The newest of each check."""
        self.host: ThisHost | None = None
        """The machine as it was looked at last."""
        self._to_paint = False
        self._outdated: set[str] = set()
        """Checks that answered for the subject before."""

    def paint(self) -> None:
        """Show the board."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Learn which checks there are, then run the fast ones."""
        self.learn()

    def on_screen_resume(self) -> None:
        """Another run or preset may have been opened meanwhile."""
        if self.board.checks and self.subject not in self.subjects():
            self.choose_subject(self.subjects()[0])

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

    def on_examining_screen_known(self, message: "ExaminingScreen.Known") -> None:
        """Run what is quick."""
        self.tell(message.problems)
        self.board = Board(message.checks, ignored=message.ignored)
        self.run_checks(self.board.shown)

    def run_checks(self, checks: tuple[Check, ...]) -> None:
        """Run those of them that are not being run."""
        checks = tuple(check for check in checks if check.id not in self.board.running)
        if checks:
            self.board = self.board.started(checks)
            self.paint()
            self.examine(checks, self.subject)

    def include(self, tier: Tier) -> None:
        """From now on the checks of this tier too."""
        self.board = self.board.with_tier(tier)
        self.run_checks(self.board.of_tiers(tier))

    @work(thread=True, group="examine", exit_on_error=False)
    def examine(self, checks: tuple[Check, ...], subject: Subject) -> None:
        """Look at the machine anew; answers are posted as they come."""
        worker = get_current_worker()
        host, problems = look_at(subject, self.context.runs_dir)
        self.post_message(self.Looking(host, problems, subject))

        def told(answer: Answer) -> None:
            if not worker.is_cancelled:
                self.post_message(self.Answered(answer, subject))

        examine(checks, host, subject, told)

    def on_examining_screen_looking(self, message: "ExaminingScreen.Looking") -> None:
        """Keep it for fixes and the report."""
        if message.subject != self.subject:
            return
        self.host = message.host
        self.tell(message.problems)

    def on_examining_screen_answered(self, message: "ExaminingScreen.Answered") -> None:
        """Show it, together with others that come at the same time; what is said of another subject is
        asked for again."""
        result = message.answer.result
        if message.subject == self.subject:
            self.board = self.board.ended([result])
            self.answers[result.id] = message.answer
        else:
            self._outdated.add(result.id)
        if not self._to_paint:
            self._to_paint = True
            self.set_timer(PAINT_S, self._paint_answers)

    def _paint_answers(self) -> None:
        self._to_paint = False
        outdated = tuple(check for check in self.board.checks if check.id in self._outdated)
        self._outdated.clear()
        if outdated:
            self.board = self.board.stopped(outdated)
            self.run_checks(outdated)
        else:
            self.paint()

    def tell(self, problems: tuple[Finding, ...]) -> None:
        """Say what is wrong with files that the doctor itself reads or writes."""
        for problem in problems:
            self.notify(f"{problem.id}: {problem.cause}", severity="error", markup=False)

    def subjects(self) -> list[Subject]:
        """Whom checks can be run for: the open run, the open preset, nobody."""
        context = self.rft.context
        found = [Subject(run=context.run)] if context.run else []
        found += [Subject(preset=context.preset)] if context.preset else []
        return [*found, Subject()]

    def choose_subject(self, subject: Subject) -> None:
        """Check for another one."""
        self.subject = subject
        self.run_checks(self.board.shown)
