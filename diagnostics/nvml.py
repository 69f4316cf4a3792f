"""GPUs as NVML sees them. The one file that touches `pynvml`, which is imported on first use.

Every query that a device does not support is None; a machine without a driver has no GPUs and no finding.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.findings import Finding, Fix

T = TypeVar("T")


class GpuFacts(msgspec.Struct, frozen=True):
    """What does not change about a GPU while a run is on. `index` counts all GPUs of the machine; bytes."""

    index: int
    name: str
    uuid: str = ""
    memory_total: int = 0
    capability: tuple[int, int] | None = None


class GpuSample(msgspec.Struct, frozen=True):
    """One look at a GPU: bytes, percent, watts, degrees Celsius; None where the device does not tell."""

    memory_used: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    power: float | None = None
    temperature: float | None = None


class Nvml:
    """An open NVML session. `library` is the `pynvml` module, or a stand-in for it."""

    def __init__(self, library: Any | None = None) -> None:
        self.problem: Finding | None = None
        """Set when a driver is there but does not answer."""
        self.driver: str | None = None
        self._count = 0
        self._library: Any = library or _import()
        if self._library is not None:
            self._open()

    def facts(self) -> tuple[GpuFacts, ...]:
        """All GPUs of the machine, in NVML's order (that of `CUDA_DEVICE_ORDER=PCI_BUS_ID`)."""
        return tuple(self._facts(index) for index in range(self._count))

    def sample(self, index: int) -> GpuSample:
        """The present state of one GPU; fields are None where a query fails."""
        nvml, handle = self._library, self._handle(index)
        if handle is None:
            return GpuSample()
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        busy = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        degrees = self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        return GpuSample(
            memory_used=int(memory.used) if memory else None,
            memory_total=int(memory.total) if memory else None,
            utilization=float(busy.gpu) if busy else None,
            power=milliwatts / 1000 if milliwatts is not None else None,
            temperature=float(degrees) if degrees is not None else None,
        )

    def _open(self) -> None:
        nvml = self._library
        try:
            nvml.nvmlInit()
            self._count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self.problem = _problem(error, nvml)
            return
        driver = self._ask(nvml.nvmlSystemGetDriverVersion)
        self.driver = _text(driver) if driver else None

    def _facts(self, index: int) -> GpuFacts:
        nvml, handle = self._library, self._handle(index)
        if handle is None:
            return GpuFacts(index, "unreachable GPU")
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        capability = self._ask(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
        return GpuFacts(
            index=index,
            name=_text(self._ask(lambda: nvml.nvmlDeviceGetName(handle)) or "GPU"),
            uuid=_text(self._ask(lambda: nvml.nvmlDeviceGetUUID(handle)) or ""),
            memory_total=int(memory.total) if memory else 0,
            capability=(int(capability[0]), int(capability[1])) if capability else None,
        )

    def _handle(self, index: int) -> Any | None:
        return self._ask(lambda: self._library.nvmlDeviceGetHandleByIndex(index))

    def _ask(self, query: Callable[[], T]) -> T | None:
        try:
            return query()
        except self._library.NVMLError:
            return None


def visible(gpus: tuple[GpuFacts, ...], environ: Mapping[str, str] = os.environ) -> tuple[GpuFacts, ...]:
    """The GPUs a CUDA process would see, in its order.

    `CUDA_VISIBLE_DEVICES` holds indices or UUID prefixes; like CUDA, an entry that names no GPU hides
    itself and all after it, and an empty value hides all.
    """
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return gpus
    seen: list[GpuFacts] = []
    for entry in wanted.split(","):
        gpu = _named(gpus, entry.strip())
        if gpu is None or gpu in seen:
            break
        seen.append(gpu)
    return tuple(seen)


def _named(gpus: tuple[GpuFacts, ...], entry: str) -> GpuFacts | None:
    if entry.isdecimal():
        return next((gpu for gpu in gpus if gpu.index == int(entry)), None)
    matches = [gpu for gpu in gpus if entry and gpu.uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _import() -> Any | None:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _problem(error: Exception, nvml: Any) -> Finding | None:
    """None for a machine without NVIDIA driver; a finding when there is one and it is broken."""
    absent = {nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED}
    if getattr(error, "value", None) in absent and not Path("/dev/nvidiactl").exists():
        return None
    return Finding(
        id="hardware.nvml-broken",
        severity="warning",
        cause=f"the NVIDIA driver does not answer ({error}), so GPUs are treated as absent.",
        fixes=(
            Fix("see whether the driver works at all", command="nvidia-smi"),
            Fix("after a driver update, reboot the machine or reload its kernel modules"),
            Fix("in a container, start it with GPU access (docker: --gpus all)"),
        ),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
