"""Runs a check on a recorded host and says what came of it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from diagnostics.doctor.check import Check, Result
from diagnostics.doctor.host import Distribution, Ran
from diagnostics.doctor.recorded import Recorded, RecordedHost
from diagnostics.doctor.runner import run_check
from diagnostics.gpu_facts import GpuFacts
from diagnostics.hardware import Hardware

GIB = 2**30


def hardware(gpus: int = 0, host: str = "node7", memory: int = 512) -> Hardware:
    """A machine with so many H100s and GiB of memory."""
    cards = tuple(_h100(i) for i in range(gpus))
    total = memory * GIB
    return Hardware(host, 64, total, total, cards, installed=gpus, disk_total=total, disk_free=total)


def _h100(index: int) -> GpuFacts:
    return GpuFacts(
        index,
        "NVIDIA H100 80GB HBM3",
        f"GPU-{index}",
        memory_total=80 * GIB,
        capability=(9, 0),
        memory_free=79 * GIB,
        memory_used=GIB // 2,
        memory_reserved=GIB // 2,
    )


def package(name: str, version: str, *requires: str, location: str = "/venv/lib") -> Distribution:
    return Distribution(name, version, requires, location)


TORCH = package("torch", "2.13.0")
MACHINE = Recorded(hardware=hardware(), packages=(TORCH,), interfaces=())


def answered(**fields: Any) -> Ran:
    """A probe that printed this."""
    return Ran(0, "warning of some library\n" + msgspec.json.encode(fields).decode() + "\n")


def judge(checks: Sequence[Check], id: str, recorded: Recorded) -> Result:
    """The result of the check `id`, on a fresh recorded host."""
    check = next(check for check in checks if check.id == id)
    return run_check(check, RecordedHost(recorded))


def assert_found(result: Result, severity: str, *words: str) -> None:
    """The worst of what was found is of that severity, says all words, and every finding says what to do."""
    assert result.status == severity, result
    shown = " ".join(
        part
        for finding in result.findings
        for part in (
            finding.cause,
            *finding.evidence,
            *(f"{fix.text} {fix.command} {fix.set}" for fix in finding.fixes),
        )
    )
    for word in words:
        assert word in shown, f"{word!r} not in {shown}"
    assert all(finding.fixes for finding in result.findings)
