"""Whether this machine can train: the checks as they answer, and what mends each."""

import shlex
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input

from engine.findings import FindingsError
from rftui.runs.rundir import runs_dir_option
from rftui.tui.doctor import looks
from rftui.tui.doctor.board import WRONG, Row
from rftui.tui.doctor.examine import Answer, mend
from rftui.tui.doctor.ignored import Ignored, ignored_path, write_ignored
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.ask import AskScreen, why_no_new_file
from rftui.tui.screens.confirm import ConfirmScreen
from rftui.tui.screens.doctor_keys import DOCTOR_KEYS
from rftui.tui.screens.doctor_panes import BoardScreen

REPORT = "rft-doctor-report.md"


class DoctorScreen(BoardScreen):
    """What can be done about a check: run it again, mend it, ignore it, report it."""

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        if not super().check_action(action, parameters):
            return False
        if action in ("again", "fix", "copy", "ignore"):
            row = self.chosen
            if row is None or row.state in ("checking", "waiting"):
                return False
            if action == "fix":
                answer = self.answers.get(row.check.id)
                return bool(answer and answer.proposal)
            if action == "copy":
                return bool(self._command(row))
            return action == "again" or row.state in (*WRONG, "ignored")
        if action == "filter":
            return not isinstance(self.focused, Input)
        if action == "next_wrong":
            return any(row.state in WRONG for row in self.board.rows())
        if action in ("deep", "active"):
            return action not in self.board.tiers and bool(self.board.checks)
        if action == "export":
            return self.host is not None and not self.board.running
        return action != "subject" or len(self.subjects()) > 1

    def action_again(self) -> None:
        """Run the chosen check once more."""
        if self.chosen is not None:
            self.run_checks((self.chosen.check,))

    def action_all_again(self) -> None:
        """Run all that are shown once more."""
        self.run_checks(self.board.shown)

    def action_deep(self) -> None:
        """Also run the deep checks."""
        self.include("deep")

    def action_active(self) -> None:
        """Also run the active checks, if the user agrees."""
        lines = [f"{check.id}: {check.title}" for check in self.board.of_tiers("active")]
        question = "Run the active checks? They use all GPUs and the network for up to some minutes, "
        question += "and disturb what runs on them."
        dialog = ConfirmScreen(question, lines, "Run them", "Do not run them")
        self.app.push_screen(dialog, lambda agreed: self.include("active") if agreed else None)

    def action_fix(self) -> None:
        """Ask whether to do what can be done about the chosen check."""
        row = self.chosen
        answer = self.answers.get(row.check.id) if row else None
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
        assert answer.proposal is not None and self.host is not None
        self.post_message(self.Mended(check, answer.proposal.words, mend(answer.proposal, self.host)))

    def on_doctor_screen_mended(self, message: "DoctorScreen.Mended") -> None:
        """Say so, and look again."""
        if message.error is not None:
            self.notify(f"it did not work: {message.error}", severity="error", markup=False)
        else:
            self.notify(f"done: {message.words}", markup=False)
        self.run_checks(tuple(check for check in self.board.checks if check.id == message.check))

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
        self.board = self.board.ignoring(ignored)
        self.paint()
        self.keep(ignored)

    @work(thread=True, group="keep", exit_on_error=False)
    def keep(self, ignored: dict[str, Ignored]) -> None:
        """Write down what is ignored."""
        try:
            write_ignored(ignored_path(), ignored)
        except FindingsError as error:
            self.tell(error.findings)

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

        assert self.host is not None
        results = [row.result for row in self.board.rows() if row.result is not None]
        tiers = [f"--{tier}" for tier, _ in looks.OPTIONAL if tier in self.board.tiers]
        where = shlex.split(runs_dir_option(self.context.runs_dir))
        command = ["rft", "doctor", *tiers, *self.subject.arguments, *where]
        try:
            path.write_text(pasted(results, self.host, command))
        except OSError as error:
            self.notify(f"{path}: {error.strerror or error}", severity="error", markup=False)
        else:
            self.notify(f"the report is in {path}", markup=False)

    def action_subject(self) -> None:
        """Check for the open run, the open preset, or nobody."""
        subjects = self.subjects()
        at = subjects.index(self.subject) if self.subject in subjects else -1
        self.choose_subject(subjects[(at + 1) % len(subjects)])
