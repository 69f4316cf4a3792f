"""What the samples of the GPUs say: slowed down, memory errors, lost, spinning."""

from collections.abc import Iterator, Sequence

from diagnostics.health.observed import Observed
from engine.events import Gpu
from engine.findings import Finding, Fix

LASTING = 5
"""Samples (one each 2 s) that a slow-down must last."""
LOST = 3
"""Samples without any answer of a GPU that answered before."""
SPIN_SAMPLES, SPIN_BUSY, SPIN_POWER = 30, 99.0, 0.45
"""A minute of full use at less than this share of the power limit: a kernel that waits for other GPUs."""
HARMFUL = ("heat (software)", "heat (hardware)", "power brake of the power supply", "hardware slowdown")


def gpus(seen: Observed) -> Iterator[Finding]:
    """Findings of the newest samples."""
    yield from _throttled(seen)
    yield from _ecc(seen)
    yield from _lost(seen)
    yield from _spinning(seen)


def _throttled(seen: Observed) -> Iterator[Finding]:
    slowed = {
        _name(samples[-1]): reasons
        for samples in seen.gpus.values()
        if len(samples) >= LASTING and (reasons := _lasting(list(samples)[-LASTING:]))
    }
    if slowed:
        yield Finding(
            id="gpu.throttled",
            severity="warning",
            cause=f"{len(slowed)} GPU(s) are slowed down: {'; '.join(slowed)}; "
            "all ranks wait for the slowest.",
            evidence=tuple(f"{name}: {', '.join(reasons)}" for name, reasons in slowed.items()),
            fixes=(
                Fix("see temperatures and limits", command="nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE"),
                Fix("mend the cooling or the power supply, or lower the power limit of all GPUs alike"),
            ),
        )


def _lasting(samples: Sequence[Gpu]) -> tuple[str, ...]:
    return tuple(r for r in HARMFUL if all(r in (sample.throttled or ()) for sample in samples))


def _ecc(seen: Observed) -> Iterator[Finding]:
    for samples in seen.gpus.values():
        counts = [sample.ecc_errors for sample in samples if sample.ecc_errors is not None]
        if counts and counts[-1] > counts[0]:
            yield Finding(
                id="gpu.ecc-errors",
                severity="error",
                cause=f"{_name(samples[-1])} had {counts[-1] - counts[0]} uncorrected memory error(s) during "
                "this run: its results cannot be trusted.",
                fixes=(
                    Fix("stop the run, and go on from a checkpoint on other GPUs"),
                    Fix(
                        "reset the GPU when nothing runs on it",
                        command=f"nvidia-smi -r -i {samples[-1].index}",
                    ),
                    Fix("have the card replaced if it happens again"),
                ),
            )


def _lost(seen: Observed) -> Iterator[Finding]:
    for samples in seen.gpus.values():
        newest = list(samples)[-LOST:]
        silent = len(newest) == LOST and all(sample.memory_used is None for sample in newest)
        if silent and any(sample.memory_used is not None for sample in samples):
            yield Finding(
                id="gpu.lost",
                severity="error",
                cause=f"{_name(samples[-1])} no longer answers the driver.",
                fixes=(
                    Fix("look for an Xid in the kernel's log", command="dmesg | grep -i xid"),
                    Fix("reboot the machine; if it happens again, have the card, its seat and power checked"),
                ),
            )


def _spinning(seen: Observed) -> Iterator[Finding]:
    states = {
        _name(samples[-1]): _spins(list(samples)[-SPIN_SAMPLES:])
        for samples in seen.gpus.values()
        if len(samples) >= SPIN_SAMPLES
    }
    spinning = [name for name, spins in states.items() if spins]
    others = [name for name, spins in states.items() if not spins]
    if len(spinning) < 2:
        return
    odd = f"; {others[0]} does not, and is the first suspect" if len(others) == 1 else ""
    yield Finding(
        id="gpu.spinning",
        severity="warning",
        cause=f"{len(spinning)} GPUs have been fully busy for a minute at less than {SPIN_POWER:.0%} of "
        f"their power: they wait for others in a collective{odd}.",
        evidence=tuple(spinning[:8]),
        fixes=(Fix("see which rank they wait for", command="rft diagnose --hang NAME"),),
    )


def _spins(samples: Sequence[Gpu]) -> bool:
    return all(
        (sample.utilization or 0) >= SPIN_BUSY
        and sample.power is not None
        and sample.power_limit is not None
        and sample.power < SPIN_POWER * sample.power_limit
        for sample in samples
    )


def _name(gpu: Gpu) -> str:
    return f"GPU {gpu.index} of {gpu.host}"
