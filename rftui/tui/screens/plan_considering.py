"""The thinking behind the plan screen: edits are considered in threads, at most one of a kind at a time."""

from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.timer import Timer

from engine.findings import Finding, FindingsError
from rftui.tui.context import Context
from rftui.tui.screens.area import AreaScreen

if TYPE_CHECKING:
    from rftui.tui.planning.consider import Considered, Ground
    from rftui.tui.planning.edits import Edits

DEBOUNCE_S = 0.15
"""After the last edit, before everything is checked and the planner chooses anew."""


class ConsideringScreen(AreaScreen):
    """Knows what is known: at once of edits as they stand, and a moment later with all that is checked."""

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

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ground: Ground | None = None
        self.now: Considered | None = None
        """What is shown."""
        self.edits: Edits | None = None
        self._working: set[str] = set()
        """Of "at_once" and "completely": which is being worked on."""
        self._debounce: Timer | None = None
        self._port = 0

    def show_now(self) -> None:
        """Show `now`."""
        raise NotImplementedError

    def show_refused(self, findings: tuple[Finding, ...]) -> None:
        """The preset cannot be read."""
        raise NotImplementedError

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

    def on_considering_screen_looked(self, message: "ConsideringScreen.Looked") -> None:
        """Consider it, or say what is wrong with the preset."""
        from rftui.tui.planning.edits import Edits

        if message.ground is None:
            self.show_refused(message.findings)
            return
        self.ground = message.ground
        self.change(self.edits or Edits())

    def change(self, edits: "Edits") -> None:
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

    def on_considering_screen_seen(self, message: "ConsideringScreen.Seen") -> None:
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
        self.show_now()

    @property
    def busy(self) -> bool:
        """Whether more will be known in a moment."""
        return self.now is None or not self.now.complete or self.now.edits != self.edits
