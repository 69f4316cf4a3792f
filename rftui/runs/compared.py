"""Predicted against measured memory of a run, phase by phase."""

from collections.abc import Mapping
from typing import NamedTuple

from engine.footprint.terms import Footprint, PhaseMemory
from rftui.runs.planned import Planned

MEASURED_AS = {
    "load": ("load",),
    "rollout": ("rollout",),
    "logprob": ("logprob",),
    "update": ("update", "step"),
    "sync": ("sync",),
    "checkpoint": ("checkpoint",),
}
"""Phase of a run → the predicted phases that it consists of."""


class Compared(NamedTuple):
    """The most bytes that a rank holds in a phase, predicted without margin and measured."""

    phase: str
    predicted: int
    measured: int

    @property
    def ratio(self) -> float:
        """Measured to predicted; above 1 the prediction was too low."""
        return self.measured / self.predicted if self.predicted else 0.0


def compare(planned: Planned, phase_memory: Mapping[str, int]) -> list[Compared]:
    """A line for each phase that was both predicted and measured; `phase_memory` as in `RunState`."""
    return [
        Compared(phase, needed(predicted), max(0, phase_memory[phase] - planned.held_by_others))
        for phase, predicted in predicted_phases(planned.footprint).items()
        if phase in phase_memory
    ]


def predicted_phases(footprint: Footprint) -> dict[str, PhaseMemory]:
    """The prediction for each phase of a run, by the name that it has there: its worse part."""
    by_name = {phase.phase: phase for phase in footprint.phases}
    found = {
        measured: [by_name[name] for name in names if name in by_name]
        for measured, names in MEASURED_AS.items()
    }
    return {measured: max(parts, key=needed) for measured, parts in found.items() if parts}


def needed(phase: PhaseMemory) -> int:
    """Bytes without margin."""
    return sum(term.bytes for term in phase.terms if term.where != "margin")
