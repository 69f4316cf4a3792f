"""A launch while it happens: a checklist from the run's directory; at the first step the run is opened."""

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static
from textual.worker import Worker, WorkerState

from engine.findings import FindingsError
from rftui.runs.rundir import RunDir
from rftui.tui.areas import AREAS
from rftui.tui.keys import Key, bindings
from rftui.tui.screens.area import HEIGHTS
from rftui.tui.screens.dialog import Dialog
from rftui.tui.screens.plan_keys import LAUNCH_KEYS
from rftui.tui.widgets.footer import Footer

if TYPE_CHECKING:
    from diagnostics.knowledge.diagnosis import Diagnosis
    from rftui.tui.planning.consider import Ground
    from rftui.tui.planning.edits import Edits
    from rftui.tui.planning.starting import Starting

POLL_S = 0.25


class Outcome(NamedTuple):
    """What is to follow: a run to open, in an area; or settings to change."""

    run: RunDir | None = None
    area: str = "live"
    fix: dict[str, Any] | None = None


class Decision:
    """Whether a run is started or left alone: what was said first holds. Asked by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: Literal["", "start", "cancel"] = ""

    def is_for(self, wanted: Literal["start", "cancel"]) -> bool:
        """Decide so, unless it was decided before; whether that is the decision."""
        with self._lock:
            self._said = self._said or wanted
            return self._said == wanted

    @property
    def open(self) -> bool:
        """Whether nothing was decided yet."""
        return not self._said


class LaunchScreen(Dialog[Outcome | None]):
    """Prepares, creates and starts a run as `rft launch` does, and follows it to its first step."""

    class Told(Message):
        """How far it has come."""

        def __init__(self, starting: "Starting") -> None:
            super().__init__()
            self.starting = starting

    class Diagnosed(Message):
        """What a run died of."""

        def __init__(self, run: RunDir, diagnosis: "Diagnosis | None") -> None:
            super().__init__()
            self.run = run
            self.diagnosis = diagnosis

    CSS_PATH = "launch.tcss"
    KEYS: ClassVar[tuple[Key, ...]] = LAUNCH_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(LAUNCH_KEYS)
    VERTICAL_BREAKPOINTS = HEIGHTS

    def __init__(self, edits: "Edits", ground: "Ground") -> None:
        super().__init__()
        self.edits = edits
        self.ground = ground
        self.starting: Starting | None = None
        self.diagnosis: Diagnosis | None = None
        self._left = threading.Event()
        self._decision = Decision()

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(f"Launch {self.ground.name}", id="title", markup=False)
            with VerticalScroll(id="told"):
                yield Static(id="checklist")
                yield Static(id="diagnosis")
            with Horizontal(id="buttons"):
                yield Button("Edit", id="edit", compact=True)
                yield Button("Retry", id="retry", compact=True)
                yield Button("Logs", id="logs", compact=True)
                yield Button("Apply fix", id="fix", compact=True)
        yield Footer()

    def on_mount(self) -> None:
        """Start."""
        self.start()

    def shows(self, run: str) -> bool:
        """Whether it follows the run of that name."""
        return self.starting is not None and self.starting.run is not None and self.starting.run.name == run

    def on_unmount(self) -> None:
        """Let the following thread go: it starts nothing any more, and what it has started goes on."""
        self._decision.is_for("cancel")
        self._left.set()

    @work(thread=True, exit_on_error=False)
    def start(self) -> None:
        """Prepare, create, start, follow: in a thread."""
        from rftui.launch.start import create, start_detached
        from rftui.tui.planning import consider, starting
        from rftui.tui.planning.earlier import earlier

        decision = self._decision
        told = starting.not_started(time.time())
        self.post_message(self.Told(told))
        try:
            ground = consider.look_again(self.ground)
            prepared = consider.prepared_launch(self.edits, ground)
            if not decision.is_for("start"):
                return
            run = create(prepared, ground.runs_dir, None)
            follower = starting.StartFollower(run, told.began)
            told = follower.poll()
            self.post_message(self.Told(told))
            start_detached(run)
            follower.earlier = earlier(run)
            while not self._left.is_set() and not told.failed and not told.first_step:
                told = follower.poll()
                self.post_message(self.Told(told))
                self._left.wait(POLL_S)
        except FindingsError as error:
            told = starting.refused(told, error)
            self.post_message(self.Told(told))
            if self._left.is_set() and not decision.is_for("cancel"):  # it was said that the run goes on
                self.app.notify(f"not started: {told.cause}", severity="error", timeout=60, markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Something went wrong in a way nobody foresaw: say so."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.notify(f"no more is known: {error!r}", severity="error", timeout=60, markup=False)

    def on_launch_screen_told(self, message: "LaunchScreen.Told") -> None:
        """Show it; at the first step go to the run."""
        from rftui.tui.planning.checklist import checklist

        told = message.starting
        first_failure = told.failed and not (self.starting and self.starting.failed)
        first_run = told.run is not None and not (self.starting and self.starting.run)
        self.starting = told
        room = self.query_one("#told").scrollable_content_region.width or 60
        self.query_one("#checklist", Static).update(checklist(told, room))
        self.query_one("#dialog").border_subtitle = self._what_leaving_does(told)
        if told.run is not None:
            self.query_one("#title", Static).update(Content.styled(f"Launch {told.run.name}", "bold"))
        if first_run:
            self.refresh_bindings()  # its logs can be read
        if told.first_step:
            self._open_run()
        elif first_failure:
            self._fail(told)

    def on_screen_resume(self) -> None:
        """Nothing lies over it any more: what had to wait for that is done."""
        self._open_run()

    def _open_run(self) -> None:
        """Go to the run, if it has come to its first step; while help lies over this, that waits."""
        if self.starting is not None and self.starting.first_step:
            self.dismiss(Outcome(self.starting.run))

    def _what_leaving_does(self, told: "Starting") -> str:
        if told.failed:
            return "esc closes"
        return "esc cancels: nothing runs yet" if self._decision.open else "esc leaves: the run goes on"

    def _fail(self, told: "Starting") -> None:
        self.add_class("-failed")
        self.set_class(told.run is not None, "-run")
        self.query_one("#edit").focus()
        self.refresh_bindings()
        self.query_one("#told").scroll_end(animate=False)
        if told.run is not None:
            self.query_one("#diagnosis", Static).update(Content.styled("looking for the cause", "$quiet"))
            self.diagnose(told.run)

    # --- what can be done ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing now are not offered."""
        failed = self.starting is not None and self.starting.failed
        has_run = self.starting is not None and self.starting.run is not None
        if action in ("edit", "retry"):
            return failed
        if action == "logs":
            return has_run
        if action == "fix":
            return self._fix() is not None
        return True

    @on(Button.Pressed)
    async def press(self, event: Button.Pressed) -> None:
        """The key of the same name."""
        await self.run_action(str(event.button.id))

    def action_edit(self) -> None:
        """Back to the form."""
        self.dismiss(None)

    def action_retry(self) -> None:
        """Once more, as a run of its own."""
        self.remove_class("-failed", "-run", "-fixable")
        self.starting, self.diagnosis, self._decision = None, None, Decision()
        self.query_one("#diagnosis", Static).update("")
        self.query_one("#title", Static).update(f"Launch {self.ground.name}")
        self.refresh_bindings()
        self.start()

    def action_logs(self) -> None:
        """The logs of the run."""
        if self.starting is not None and self.starting.run is not None:
            area = "logs" if any(each.name == "logs" for each in AREAS) else "live"
            self.dismiss(Outcome(self.starting.run, area))

    def action_leave(self) -> None:
        """Leave. Nothing is started any more; a run that has started goes on, and that is said."""
        told = self.starting
        if self._decision.is_for("cancel"):
            if told is None or not told.failed:
                self.notify("cancelled: nothing was started")
        elif told is not None and not told.failed:
            name = told.run.name if told.run is not None else "the run"
            self.notify(f"{name} goes on; it is listed at home", markup=False)
        self.dismiss(None)

    @work(thread=True, exclusive=True, group="diagnose", exit_on_error=False)
    def diagnose(self, run: RunDir) -> None:
        """What the run died of: as its supervisor found, else as is found now."""
        from diagnostics.knowledge.sources import Unreadable
        from rftui.launch.postmortem import examine
        from rftui.runs import diagnosis

        found = diagnosis.read(run)
        if found is None:
            try:
                found = examine(run)
            except (Unreadable, FindingsError):
                found = None
        self.post_message(self.Diagnosed(run, found))

    def on_launch_screen_diagnosed(self, message: "LaunchScreen.Diagnosed") -> None:
        """Show causes and fixes, unless another launch is under way by now."""
        from rftui.tui.planning.checklist import diagnosed

        told = self.starting
        if told is None or not told.failed or told.run != message.run:
            return
        self.diagnosis = message.diagnosis
        self.query_one("#diagnosis", Static).update(diagnosed(message.diagnosis))
        self.set_class(self._fix() is not None, "-fixable")
        self.query_one("#told").scroll_end(animate=False)
        self.refresh_bindings()

    def action_fix(self) -> None:
        """Change the settings as proposed."""
        fix = self._fix()
        if fix is not None:
            self.dismiss(Outcome(fix=fix))

    def _fix(self) -> dict[str, Any] | None:
        from rftui.runs.diagnosis import applicable

        fix = applicable(self.diagnosis) if self.diagnosis is not None else None
        return dict(fix.set) if fix is not None else None
