"""Findings while a run is on: raised once, cleared when they are over."""

from collections.abc import Iterable
from typing import Literal

from engine.events import Alert
from engine.findings import Finding, render
from engine.strategy import Strategy
from engine.telemetry import Telemetry


class Alerts:
    """Turns what is wrong now into alerts about what has changed, in events and on the console of rank 0."""

    def __init__(self, strategy: Strategy, telemetry: Telemetry) -> None:
        self.strategy = strategy
        self.telemetry = telemetry
        self._raised: dict[str, dict[str, Finding]] = {}

    def update(self, source: str, findings: Iterable[Finding], step: int) -> None:
        """All that `source` (a name for who looks) finds wrong at `step`; nothing clears what it raised."""
        found = {finding.id: finding for finding in findings}
        before = self._raised.get(source, {})
        for finding in [f for id, f in found.items() if id not in before]:
            self._emit("raised", finding, step)
            self.strategy.print(render(finding))
        for finding in [f for id, f in before.items() if id not in found]:
            self._emit("cleared", finding, step)
        self._raised[source] = found

    def _emit(self, state: Literal["raised", "cleared"], finding: Finding, step: int) -> None:
        if self.strategy.rank == 0:
            self.telemetry.emit(Alert, state=state, finding=finding, step=step)
