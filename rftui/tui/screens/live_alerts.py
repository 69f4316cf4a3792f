"""Going through the alerts of a run, each in full with its evidence and fixes."""

from dataclasses import replace

from engine.findings import render
from rftui.tui import panels
from rftui.tui.axis import Stretch
from rftui.tui.look import Look
from rftui.tui.notices import LogPlace
from rftui.tui.screens.area import AreaScreen
from rftui.tui.snapshot import Snapshot
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.log_tail import LogTail
from rftui.tui.widgets.panel import Panel

BESIDE = 5
"""Steps shown before and after the one of an alert."""


class AlertActions(AreaScreen):
    """Shows one alert in the place of the panes below the charts, which show the steps around it."""

    snapshot: Snapshot | None
    look: Look
    alert_at: int | None = None
    """Number of the alert that is shown."""
    _look_before: Look | None = None
    """How the charts were looked at before the alert was opened."""

    def ask(self) -> None:
        """Have the charts' data taken now, and painted even if painting is paused."""
        raise NotImplementedError

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
        self._look_around(notices[self.alert_at].step)

    def close_alert(self) -> None:
        """Put it away; the charts are as they were."""
        self.alert_at = None
        self.show_alert()
        self._look_around(-1)

    def _look_around(self, step: int) -> None:
        """Charts of the steps around that one, with the crosshair on it; as before where there is none."""
        before = self._look_before or self.look
        if step >= 0 and self.snapshot is not None:
            self._look_before = before
            stretch = Stretch.around(step, self.snapshot.step, BESIDE)
            self.look = replace(self.look, stretch=stretch, cursor=float(step))
        else:
            self._look_before = None
            self.look = replace(self.look, stretch=before.stretch, cursor=before.cursor)
        self.ask()

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
        elif isinstance(self.focused, Chart):
            text, what = self.focused.text, "values of the chart"
        elif isinstance(self.focused, Panel):
            text, what = self.focused.text, "pane"
        else:
            self.notify("n shows an alert to copy; tab goes to a chart or pane", timeout=3)
            return
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} copied", timeout=2)
