"""A session with NVML, the driver's own library. The one file that touches `pynvml`, imported on first use.

What a device does not support is None; a machine without a driver has no GPUs and no finding. CUDA is never
initialised.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from diagnostics.gpu_facts import throttled_words
from engine.findings import Finding, Fix

T = TypeVar("T")

EXPECTED = (
    *("NOT_SUPPORTED", "INVALID_ARGUMENT", "NO_PERMISSION", "NOT_FOUND", "FUNCTION_NOT_FOUND", "NO_DATA"),
    *("ARGUMENT_VERSION_MISMATCH", "DEPRECATED", "VGPU_ECC_NOT_SUPPORTED"),
)
"""Errors that say that a device, driver, container or user cannot answer, and nothing is wrong."""
UNCORRECTED, VOLATILE = 1, 0
"""NVML's numbers for uncorrected memory errors, counted since the driver was loaded."""
GONE = ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND")


class LostGpuError(Exception):
    """The GPU no longer answers: it fell off the bus or must be reset."""


class GpuSample(msgspec.Struct, frozen=True):
    """One look at a GPU: bytes, percent, watts, degrees Celsius; None where the device does not tell.

    `throttled` and `ecc_errors` as in `GpuFacts`.
    """

    memory_used: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    power: float | None = None
    temperature: float | None = None
    power_limit: float | None = None
    throttled: tuple[str, ...] | None = None
    ecc_errors: int | None = None


class Nvml:
    """An open NVML session. `library` is the `pynvml` module, or a stand-in for it."""

    def __init__(self, library: Any | None = None) -> None:
        self.problem: Finding | None = None
        """Set when a driver is there but does not answer."""
        self.driver: str | None = None
        self.cuda: str | None = None
        """The newest CUDA version that the driver supports, "12.8"."""
        self.count = 0
        """GPUs of the machine."""
        self.library: Any = library or _import()
        if self.library is not None:
            self._open()

    def sample(self, index: int) -> GpuSample:
        """The present state of one GPU; fields are None where a query fails."""
        nvml = self.library
        handle = self._ask(lambda: nvml.nvmlDeviceGetHandleByIndex(index))
        if handle is None:
            return GpuSample()
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        busy = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        milliwatts = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        degrees = self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        limit = self._ask(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
        return GpuSample(
            memory_used=int(memory.used) if memory else None,
            memory_total=int(memory.total) if memory else None,
            utilization=float(busy.gpu) if busy else None,
            power=milliwatts / 1000 if milliwatts is not None else None,
            temperature=float(degrees) if degrees is not None else None,
            power_limit=limit / 1000 if limit is not None else None,
            throttled=throttled_words(
                self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
            ),
            ecc_errors=self._ask(lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, UNCORRECTED, VOLATILE)),
        )

    def query(self, index: int) -> "GpuQuery":
        """Questions about one GPU. Raises LostGpuError."""
        return GpuQuery(self.library, index)

    def _open(self) -> None:
        nvml = self.library
        try:
            nvml.nvmlInit()
            self.count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self.problem = _problem(error, nvml)
            return
        driver = self._ask(nvml.nvmlSystemGetDriverVersion)
        self.driver = as_text(driver) if driver else None
        version = self._ask(nvml.nvmlSystemGetCudaDriverVersion_v2)
        self.cuda = f"{version // 1000}.{version % 1000 // 10}" if version else None

    def _ask(self, query: Callable[[], T]) -> T | None:
        try:
            return query()
        except self.library.NVMLError:
            return None


class GpuQuery:
    """Asks one GPU. `failures` collects the answers that were neither a value nor a "not supported"."""

    def __init__(self, library: Any, index: int) -> None:
        self.library, self.index = library, index
        self.failures: list[str] = []
        self._expected = _codes(library, EXPECTED)
        self._gone = _codes(library, GONE)
        self.handle = self._call("nvmlDeviceGetHandleByIndex", index)
        if self.handle is None:
            raise LostGpuError(self.failures[-1] if self.failures else "the driver gives no handle of it")

    def ask(self, function: str, *arguments: Any) -> Any | None:
        """The answer of a function about this GPU, None when it has none. Raises LostGpuError."""
        return self._call(function, self.handle, *arguments)

    def ask_slice(self, function: str, handle: Any) -> Any | None:
        """The same about a MIG slice of this GPU."""
        return self._call(function, handle)

    def constant(self, name: str, default: int) -> int:
        """A constant of the library; `default` where the installed version is too old to know it."""
        return getattr(self.library, name, default)

    def _call(self, function: str, *arguments: Any) -> Any | None:
        call = getattr(self.library, function, None)
        if call is None:  # an older pynvml
            return None
        try:
            return call(*arguments)
        except ValueError as error:  # the bindings cannot read the answer
            self.failures.append(f"{function}: {error}")
            return None
        except self.library.NVMLError as error:
            code = getattr(error, "value", None)
            if code in self._gone:
                raise LostGpuError(str(error)) from None
            if code not in self._expected:
                self.failures.append(f"{function}: {error}")
            return None


def as_text(value: str | bytes) -> str:
    """Text of NVML, which older bindings give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _codes(library: Any, names: tuple[str, ...]) -> set[int]:
    return {code for name in names if (code := getattr(library, f"NVML_ERROR_{name}", None)) is not None}


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
