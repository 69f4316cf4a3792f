"""Findings while a run is on: raised once, cleared when they are over. Imports no torch."""

from collections.abc import Callable, Iterable
from typing import Literal

from engine.findings import Finding

Say = Callable[[Literal["raised", "cleared"], Finding, int], None]
"""What to do about a change: its kind, the finding, and the step."""


class Alerts:
    """Turns what is wrong now into alerts about what has changed."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._raised: dict[str, dict[str, Finding]] = {}

    def update(self, source: str, findings: Iterable[Finding], step: int) -> None:
        """All that `source` (a name for who looks) finds wrong at `step`; nothing clears what it raised."""
        found = {finding.id: finding for finding in findings}
        before = self._raised.get(source, {})
        for finding in [f for id, f in found.items() if id not in before]:
            self._say("raised", finding, step)
        for finding in [f for id, f in before.items() if id not in found]:
            self._say("cleared", finding, step)
        self._raised[source] = found
