"""Going through the alerts of a run, each in full with its evidence and fixes."""

from engine.findings import render
from rftui.tui import panels
from rftui.tui.notices import LogPlace
from rftui.tui.screens.area import AreaScreen
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.log_tail import LogTail
from rftui.tui.widgets.panel import Panel


class AlertActions(AreaScreen):
    """Shows one alert in the place of the panes below the charts."""

    snapshot: Snapshot | None
    alert_at: int | None = None
    """Number of the alert that is shown."""

    def action_alert(self, further: int) -> None:
        """The next alert, or the first; past the last one comes the first again."""
        notices = self.snapshot.notices if self.snapshot else ()
        if not notices:
            self.notify("no alert", timeout=2)
            return
        if self.alert_at is None:
            self.alert_at = 0 if further > 0 else len(notices) - 1
        else:
            self.alert_at = (self.alert_at + further) % len(notices)
        self.show_alert()

    def show_alert(self) -> None:
        """Paint the alert of that number, or put the panel away."""
        panel = self.query_one("#alert", Panel)
        shown = self.alert_at is not None
        self.set_class(shown, "-alert")
        if not shown or self.snapshot is None or self.alert_at is None:
            if self.maximized is panel:
                self.minimize()
            return
        count = len(self.snapshot.notices)
        panel.painter = panels.alert_detail(self.alert_at)
        panel.border_title = f"alert {min(self.alert_at + 1, count)} of {count}"
        to_log = " · o its line in the logs" if self.logged else ""
        panel.border_subtitle = f"n N others{to_log} · y copy · z whole screen · esc close"
        panel.show(self.snapshot)

    @property
    def logged(self) -> LogPlace | None:
        """Where the logs tell of the alert that is shown."""
        notices = self.snapshot.notices if self.snapshot else ()
        shown = self.alert_at is not None and self.alert_at < len(notices)
        return notices[self.alert_at or 0].logged if shown else None

    async def action_logged(self) -> None:
        """Go there."""
        if self.logged is not None:
            await self.rft.open_log(self.logged)
        elif self.alert_at is not None:
            self.notify("this alert has no line of its own in the logs; 4 opens them", timeout=3)
        else:
            self.notify("n opens an alert; o goes to its line in the logs", timeout=3)

    def on_panel_chosen(self, message: Panel.Chosen) -> None:
        """Enter or a click on the strip opens it."""
        if message.panel.id == "notices":
            self.action_alert(1)

    def action_copy(self) -> None:
        """Copy the alert that is shown, or the text of the focused pane."""
        notices = self.snapshot.notices if self.snapshot else ()
        if self.alert_at is not None and self.alert_at < len(notices):
            text, what = render(notices[self.alert_at].finding), "alert"
        elif isinstance(self.focused, LogTail):
            text, what = "\n".join(line.text for line in self.focused.lines), "log"
        elif isinstance(self.focused, Panel):
            text, what = self.focused.text, "pane"
        else:
            self.notify("n shows an alert to copy; tab goes to a pane of text", timeout=3)
            return
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} copied", timeout=2)
