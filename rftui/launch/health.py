"""Looks after a run's health while it is on: alerts, and a hang analysis when it stops advancing."""

import socket
import threading
import time
from typing import Literal

from diagnostics import host_facts
from diagnostics.health.hang.analysis import LIMITS, Limits, analyse_run, ranks_of
from diagnostics.health.hang.finding import hang_finding
from diagnostics.health.hang.verdict import Verdict
from diagnostics.health.kernel_log import KernelLog
from diagnostics.health.monitor import Monitor
from diagnostics.health.progress import stuck
from engine.alerts import Alerts
from engine.config.sections import RunConfig
from engine.events import Alert, EventWriter
from engine.findings import Finding, Fix
from rftui.runs.follow import EventFollower
from rftui.runs.rundir import RunDir

INTERVAL_S = 1.0
EVENTS = "health.jsonl"


class HealthWatch:
    """A thread beside the ranks of one attempt. It writes `events/health.jsonl` and changes nothing itself.

    `demand` is what `on_hang` asks for once a hang has been analysed, and `verdict` what was found.
    """

    def __init__(self, run: RunDir, config: RunConfig, nproc: int) -> None:
        self.demand: Literal["stop", "restart"] | None = None
        self.verdict: Verdict | None = None
        self._run_dir, self._config, self._nproc = run, config, nproc
        self._began, self._oom_kills = time.time(), host_facts.oom_kills()
        self._events = EventWriter(run.events_dir / EVENTS, host=socket.gethostname())
        # The newest of long files: earlier attempts are over, and their events are left out below.
        self._follower = EventFollower(run.events_dir, tail_bytes=1 << 20)
        self._monitor = Monitor(config, run.in_commands, [KernelLog(self._began).findings])
        self._alerts = Alerts(self._say)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; a hang analysis that is under way is left to itself."""
        self._end.set()
        self._thread.join(timeout=2 * INTERVAL_S)

    def _watch(self) -> None:
        while not self._end.wait(INTERVAL_S):
            failed: list[Finding] = []
            try:
                self._look()
            except Exception as error:  # a rule of ours that fails must not leave the run unwatched unsaid
                if not self._run_dir.path.is_dir():
                    return  # it was removed: there is nothing to look after
                failed.append(_failed(error))
            self._alerts.update("watch", failed, self._monitor.seen.step)

    def _look(self) -> None:
        self._monitor.take(event for event in self._follower.poll() if event.t >= self._began)
        findings, now = self._monitor.look(time.time()), time.time()
        hangs = stuck(self._monitor.seen, now, self._config.parallel.hang_after) is not None
        self._alerts.update("health", findings, self._monitor.seen.step)
        if not hangs:
            self.verdict = None
        elif self.verdict is None and not self._end.is_set():
            found = self._analyse()
            if self._end.is_set():
                return  # the ranks ended meanwhile, by themselves
            if found.kind != "no-hang":  # else the run went on while it was looked at
                self.verdict = found
                wanted = self._config.parallel.on_hang
                self.demand = None if wanted == "report" else wanted
        self._alerts.update("hang", self._hang(), self._monitor.seen.step)

    def _hang(self) -> list[Finding]:
        return [hang_finding(self.verdict, self._run_dir.in_commands)] if self.verdict else []

    def _analyse(self) -> Verdict:
        path, hang_after = self._run_dir.path, self._config.parallel.hang_after
        # Who waits for less than usual wants the answer sooner too.
        limits = Limits(round_s=min(LIMITS.round_s, hang_after or LIMITS.round_s))
        return analyse_run(path, ranks_of(path), self._nproc, limits=limits, oom_kills_before=self._oom_kills)

    def _say(self, state: Literal["raised", "cleared"], finding: Finding, step: int) -> None:
        self._events.emit(Alert, state=state, finding=finding, step=step)


def _failed(error: Exception) -> Finding:
    return Finding(
        id="health.failed",
        severity="warning",
        cause=f"the run's health is not looked after: {error!r}.",
        fixes=(Fix("the training itself is not affected; please report this with the run's supervisor.log"),),
    )
