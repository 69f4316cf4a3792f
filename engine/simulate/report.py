"""What a simulation found, and the same in words."""

import msgspec

from engine.simulate.tracker import Peak

SHOWN = 8
GIB = 1024**3
LATER = "logprob later"
"""Log-probs of a later iteration than the first, which meet optimizer states; only until `settled`."""


class PhasePeak(msgspec.Struct, frozen=True):
    """The worst moment of a phase on one rank. Bytes.

    `terms`: what was alive then, by category; `temporaries`: of that category, by what made them, largest
    first; `resident`: what was left at the phase's end, by category in `resident_terms`.
    """

    phase: str
    bytes: int
    terms: dict[str, int]
    temporaries: dict[str, int]
    resident: int
    resident_terms: dict[str, int]


class Simulation(msgspec.Struct, frozen=True):
    """One rank's memory in the training part of a run, and how the ranks were put together."""

    world_size: int
    device: tuple[PhasePeak, ...]
    host: tuple[PhasePeak, ...]
    """Of tensors in host memory: what is offloaded, and the model while it is loaded."""
    groups: dict[str, str]
    """Process groups and meshes of this rank, in words."""
    micro_batches: int
    """Of an optimizer step, on this rank, as simulated."""
    micro_batches_of_step: int
    """The same in a step of the configured size."""
    tokens: int
    """Forwarded in one optimizer step as simulated."""
    layers: int
    seconds: float

    @property
    def peak(self) -> PhasePeak:
        """Of the phase that needs most."""
        return max(self.device, key=lambda phase: phase.bytes)

    def phase(self, name: str) -> PhasePeak:
        """The device memory of a phase, by its name."""
        return next(phase for phase in self.device if phase.phase == name)


def phase_peaks(peaks: dict[str, Peak], names: tuple[str, ...]) -> tuple[PhasePeak, ...]:
    """A tracker's peaks of the phases named, in that order."""
    return tuple(
        PhasePeak(
            name,
            peak.bytes,
            dict(peak.categories.most_common()),
            dict(peak.makers.most_common(20)),
            peak.resident,
            dict(peak.resident_categories.most_common()),
        )
        for name, peak in ((n, peaks[n]) for n in names if n in peaks)
    )


def extrapolated(few: Simulation, more: Simulation, layers: int) -> Simulation:
    """The simulation of `layers` layers from two of fewer: all sizes go up by the same with every layer.

    Exact while a phase's worst moment stays the same one. Buckets of the sync do not grow on once full.
    """
    share = (layers - few.layers) / (more.layers - few.layers)

    def line(a: int, b: int) -> int:
        return round(a + share * (b - a))

    def lines(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        return {name: line(a.get(name, 0), size) for name, size in b.items()}

    def phase(a: PhasePeak, b: PhasePeak) -> PhasePeak:
        return PhasePeak(
            b.phase,
            line(a.bytes, b.bytes),
            lines(a.terms, b.terms),
            lines(a.temporaries, b.temporaries),
            line(a.resident, b.resident),
            lines(a.resident_terms, b.resident_terms),
        )

    def phases(a: tuple[PhasePeak, ...], b: tuple[PhasePeak, ...]) -> tuple[PhasePeak, ...]:
        return tuple(phase(x, y) for x, y in zip(a, b, strict=True))

    return msgspec.structs.replace(
        more, device=phases(few.device, more.device), host=phases(few.host, more.host), layers=layers
    )


def settled(simulation: Simulation) -> Simulation:
    """With one phase `logprob`: the worse of the first and a later iteration's, and what the later leaves."""

    def settle(phases: tuple[PhasePeak, ...]) -> tuple[PhasePeak, ...]:
        by_name = {phase.phase: phase for phase in phases}
        later = by_name.pop(LATER, None)
        if later is not None:
            worst = max(by_name["logprob"], later, key=lambda phase: phase.bytes)
            left = {"resident": later.resident, "resident_terms": later.resident_terms}
            by_name["logprob"] = msgspec.structs.replace(worst, phase="logprob", **left)
        return tuple(by_name.values())

    return msgspec.structs.replace(simulation, device=settle(simulation.device), host=settle(simulation.host))


def words(simulation: Simulation) -> str:
    """The simulation for a person to read."""
    lines = [f"rank 0 of {simulation.world_size}, {simulation.layers} layers, {simulation.seconds:.1f} s"]
    lines += [f"  {name}: {ranks}" for name, ranks in simulation.groups.items()]
    lines.append(
        f"  micro-batches per step: {simulation.micro_batches_of_step}, of which "
        f"{simulation.micro_batches} simulated: {simulation.tokens:,} tokens forwarded"
    )
    for place, peaks in (("device", simulation.device), ("host", simulation.host)):
        lines.append(f"{place} memory, GiB at the worst moment (and after the phase)")
        for peak in peaks:
            parts = ", ".join(f"{name} {_gib(size)}" for name, size in peak.terms.items() if size)
            lines.append(f"  {peak.phase:8} {_gib(peak.bytes)} ({_gib(peak.resident)}): {parts}")
    worst = simulation.peak
    lines.append(f"temporaries at the worst moment of {worst.phase}, GiB")
    lines += [f"  {_gib(size)} {name}" for name, size in list(worst.temporaries.items())[:SHOWN]]
    return "\n".join(lines)


def _gib(size: int) -> str:
    return f"{size / GIB:.3f}"
