"""A recorded machine in good order, eight H100 on an NVSwitch, and ways to have something wrong with it."""

from pathlib import Path
from typing import Any

import msgspec

from diagnostics.doctor.recorded import Recorded
from diagnostics.gpu_facts import GpuFacts
from diagnostics.hardware import Hardware, detect
from diagnostics.nvml import Nvml
from tests.diagnostics.fake_nvml import FakeNvml

GIB = 2**30
EIGHT_H100 = msgspec.json.decode(
    Path(__file__).with_name("hosts").joinpath("eight_h100.json").read_bytes(), type=Recorded
)


def machine(**changes: Any) -> Recorded:
    """The good machine with other facts of its `Hardware`."""
    assert EIGHT_H100.hardware is not None
    return EIGHT_H100.but(hardware=msgspec.structs.replace(EIGHT_H100.hardware, **changes))


def with_gpu(index: int, **changes: Any) -> Recorded:
    """The good machine with other facts of one GPU."""
    assert EIGHT_H100.hardware is not None
    gpus: list[GpuFacts] = list(EIGHT_H100.hardware.gpus)
    gpus[index] = msgspec.structs.replace(gpus[index], **changes)
    return machine(gpus=tuple(gpus))


def with_cards(nvml: FakeNvml, **environ: str) -> Recorded:
    """The good machine with other GPUs, read as from a driver, of which CUDA sees what `environ` leaves."""
    found: Hardware = detect(Nvml(nvml), environ=environ)
    names = ("gpus", "driver", "problems", "cuda", "installed", "unreachable", "topology")
    return machine(**{name: getattr(found, name) for name in names}).but(environ=environ)
