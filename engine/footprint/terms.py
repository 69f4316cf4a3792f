"""What a prediction of memory is made of: terms with names, formulas and sources, in phases."""

from typing import Literal

import msgspec

Where = Literal["torch", "engine", "driver", "margin"]
"""Who holds device memory: torch's allocator, the rollout engine's own pools, the driver, nobody yet."""


class Term(msgspec.Struct, frozen=True):
    """One thing that takes memory, in bytes on one rank (host and disk: on one machine).

    `formula`: how it was computed, with the numbers in it; `source`: where the formula comes from (a file of
    this engine, a section of docs/planner.md, a measurement).
    """

    name: str
    bytes: int
    formula: str
    source: str
    where: Where = "torch"


class PhaseMemory(msgspec.Struct, frozen=True):
    """The device memory of one rank at the worst moment of a phase: the terms that are alive then.

    `phase` is one of PHASES; `moment` says which moment is the worst, in words.
    """

    phase: str
    moment: str
    terms: tuple[Term, ...]

    @property
    def bytes(self) -> int:
        """Everything: what the device must have."""
        return sum(term.bytes for term in self.terms)

    @property
    def allocated(self) -> int:
        """What torch's allocator counts, `torch.cuda.max_memory_allocated`, without pools of the engine."""
        return sum(term.bytes for term in self.terms if term.where == "torch")


PHASES = ("load", "rollout", "logprob", "update", "step", "sync", "checkpoint")
"""In the order of a run. `update` is forward and backward, `step` the optimizer's; telemetry's phase `update`
covers both."""


class Footprint(msgspec.Struct, frozen=True):
    """All of a run's memory: device memory per phase, host memory and disk per machine."""

    phases: tuple[PhaseMemory, ...]
    host: tuple[Term, ...]
    disk: tuple[Term, ...]

    @property
    def worst(self) -> PhaseMemory:
        """The phase that needs most device memory."""
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def peak(self) -> int:
        """Bytes of device memory that one rank needs, margin included."""
        return self.worst.bytes

    @property
    def host_bytes(self) -> int:
        return sum(term.bytes for term in self.host)

    @property
    def disk_bytes(self) -> int:
        return sum(term.bytes for term in self.disk)
