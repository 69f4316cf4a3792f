"""A stand-in for `pynvml` on a machine with eight H200; single queries can be made to fail."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18
NVML_ERROR_NOT_SUPPORTED = 3
COUNT = 8
MEMORY = SimpleNamespace(total=150_754_820_096, used=3_221_225_472, free=147_533_594_624)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(
            {18: "Driver/library version mismatch", 12: "NVML Shared Library Not Found"}.get(value)
        )
        self.value = value


def eight_h200(**failing: int) -> Any:
    """The module; `failing` maps names of its functions to the NVML error each raises."""
    answers: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: COUNT,
        "nvmlSystemGetDriverVersion": lambda: "570.86.15",
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda gpu: "NVIDIA H200",
        "nvmlDeviceGetUUID": lambda gpu: f"GPU-{gpu}f3d0c1e-5b1c-4d0a-9a53-0a1b2c3d4e5f",
        "nvmlDeviceGetMemoryInfo": lambda gpu: MEMORY,
        "nvmlDeviceGetCudaComputeCapability": lambda gpu: (9, 0),
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=97, memory=41),
        "nvmlDeviceGetPowerUsage": lambda gpu: 612_345,
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 54,
    }
    for name, code in failing.items():
        answers[name] = _raiser(code)
    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        NVML_ERROR_LIBRARY_NOT_FOUND=NVML_ERROR_LIBRARY_NOT_FOUND,
        NVML_ERROR_DRIVER_NOT_LOADED=NVML_ERROR_DRIVER_NOT_LOADED,
        **answers,
    )


def _raiser(code: int) -> Callable[..., Any]:
    def fail(*args: Any) -> None:
        raise NVMLError(code)

    return fail
