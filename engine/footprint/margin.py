"""The room left for what no term describes: fragmentation above all; by measured runs where there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.footprint.job import Job
from engine.footprint.terms import PhaseMemory, Term

GB = 10**9
FLOOR = 2 * GB
SHARE, SHARE_WITH_VLLM = 0.06, 0.10
"""Of what torch's allocator holds: reserved over allocated was 78.4/76.3 in a steady loop, 61.6/25.9 after
phases of different shape without giving back between them, which this engine does."""
CPU_FLOOR, CPU_SHARE = GB // 10, 0.15
"""malloc gives freed pages back late: a model of 181 M parameters on one rank took 1 % more than predicted in
updates with FSDP2, 11 % more with DeepSpeed, and 15 % more in its checkpoints."""
REST = 0.02
"""Of what torch's allocator holds, beside a measured ratio: runs differ."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What earlier runs used against what was predicted for them.

    `ratios`: of each phase, as `ratio` computes them, the largest of all runs. `runs`: how many there were;
    `words`: which, e.g. "Qwen2.5 on A100 with fsdp2".
    """

    ratios: Mapping[str, float]
    runs: int
    words: str


def ratio(predicted: PhaseMemory, held: int, *, on_cpu: bool = False) -> float:
    """Measured over predicted bytes of torch's allocator in one phase, where a rank `held` so much in all.

    The other terms (driver, engine) are taken to be right. 1 where nothing of torch's was predicted. Of all
    bytes on a CPU, where the process itself is most of it and cannot be told apart.
    """
    if on_cpu:
        return held / sum(t.bytes for t in predicted.terms if t.where != "margin")
    others = sum(t.bytes for t in predicted.terms if t.where in ("driver", "engine"))
    return max(0.0, held - others) / predicted.allocated if predicted.allocated else 1.0


def margin_terms(job: Job, phase: str, terms: Sequence[Term], measured: Measured | None) -> tuple[Term, ...]:
    """What to leave free in a phase that holds `terms`."""
    on_cpu = job.place.on_cpu
    allocated = sum(term.bytes for term in terms if term.where == "torch" or on_cpu)
    if measured is not None and phase in measured.ratios:
        return _learned(allocated, measured.ratios[phase], measured)
    floor, share = _rule(job)
    allocated = sum(term.bytes for term in terms if term.where == "torch")
    return (
        Term(
            "margin",
            max(floor, int(share * allocated)),
            f"max({floor / GB:g} GB, {share:.0%} of {allocated / GB:.2f} GB in torch's allocator)",
            "docs/planner.md, margin",
            "margin",
        ),
    )


def _rule(job: Job) -> tuple[int, float]:
    if job.place.on_cpu:
        return CPU_FLOOR, CPU_SHARE
    return FLOOR, SHARE_WITH_VLLM if job.engine == "vllm" else SHARE


def _learned(allocated: int, ratio: float, measured: Measured) -> tuple[Term, ...]:
    ratio = max(1.0, ratio)  # of shorter responses than the longest, which a prediction is for
    runs = f"{measured.runs} run{'s' * (measured.runs != 1)} of {measured.words}"
    return (
        Term(
            "measured correction",
            int((ratio - 1) * allocated),
            f"({ratio:.2f} − 1) × {allocated / GB:.2f} GB",
            f"measured in {runs}",
            "margin",
        ),
        Term(
            "margin",
            int(REST * allocated),
            f"{REST:.0%} of it: runs differ",
            "docs/planner.md, margin",
            "margin",
        ),
    )
