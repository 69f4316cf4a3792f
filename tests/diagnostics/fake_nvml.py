"""A stand-in for `pynvml`: machines with recorded GPUs, behind the functions that are asked of it.

Single functions can be made to fail, on all GPUs or on one; every call is counted and can take time.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_NO_PERMISSION = 4
NVML_ERROR_NOT_FOUND = 6
NVML_ERROR_DRIVER_NOT_LOADED = 9
NVML_ERROR_LIBRARY_NOT_FOUND = 12
NVML_ERROR_GPU_IS_LOST = 15
NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18
NVML_ERROR_UNKNOWN = 999
MIB = 1024**2
MESSAGES = {
    3: "Not Supported",
    4: "Insufficient Permissions",
    6: "Not Found",
    9: "Driver Not Loaded",
    12: "NVML Shared Library Not Found",
    15: "GPU is lost",
    18: "Driver/library version mismatch",
    999: "Unknown Error",
}


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(MESSAGES[value])
        self.value = value


@dataclass(frozen=True)
class FakeSlice:
    """A MIG device, in MiB."""

    uuid: str
    profile: str
    total: int
    used: int
    gpu_instance: int


@dataclass(frozen=True)
class FakeGpu:
    """What one GPU answers, as read from such cards: MiB, watts, MHz. None: "not supported"."""

    name: str
    total: int
    reserved: int = 560
    used: int = 4
    capability: tuple[int, int] = (9, 0)
    processes: tuple[tuple[int, int | None], ...] = ()
    """pid and MiB; with slices, they run in the first."""
    limit: int = 700
    clocks: tuple[int, int] = (1980, 2619)
    throttle: int = 0x1
    ecc: bool | None = True
    generation: int = 5
    nvlinks: int | None = 18
    inactive_links: int = 0
    switch: bool = True
    peers: tuple[int, ...] = ()
    """Indices of the GPUs at the other ends of the links, when there is no switch."""
    numa: int = 0
    slices: tuple[FakeSlice, ...] | None = ()
    """() with MIG off, None where there is no MIG."""
    rows: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Remapped rows: of correctable and uncorrectable errors, pending, failed."""
    fabric: int | None = 3
    """State of the NVLink fabric: 3 is completed; None where there is none."""


H100 = FakeGpu("NVIDIA H100 80GB HBM3", 81559)
H200 = FakeGpu("NVIDIA H200", 143771, used=2512)
A100 = FakeGpu(
    "NVIDIA A100-SXM4-80GB", 81920, 620, 4, (8, 0), (), 400, (1410, 1593), 1, True, 4, 12, fabric=None
)
RTX4090 = FakeGpu(
    "NVIDIA GeForce RTX 4090",
    24564,
    reserved=480,
    capability=(8, 9),
    limit=450,
    clocks=(3105, 10501),
    ecc=None,
    generation=4,
    nvlinks=None,
    slices=None,
    fabric=None,
)


@dataclass
class FakeNvml:
    """The module `pynvml` on a machine with `gpus`.

    `failing`: NVML error by name of a function, or by name and index of a GPU. `latency`: seconds of a call.
    """

    gpus: Sequence[FakeGpu]
    failing: dict[str | tuple[str, int], int] = field(default_factory=dict)
    latency: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)

    NVMLError = NVMLError
    c_nvmlGpuFabricInfo_v2_t = SimpleNamespace
    NVML_TEMPERATURE_GPU = 0
    NVML_NVLINK_MAX_LINKS = 18
    NVML_NVLINK_DEVICE_TYPE_SWITCH = 2
    NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON = 90
    NVML_ERROR_INVALID_ARGUMENT = 2
    NVML_ERROR_NOT_SUPPORTED = NVML_ERROR_NOT_SUPPORTED
    NVML_ERROR_NO_PERMISSION = NVML_ERROR_NO_PERMISSION
    NVML_ERROR_NOT_FOUND = NVML_ERROR_NOT_FOUND
    NVML_ERROR_DRIVER_NOT_LOADED = NVML_ERROR_DRIVER_NOT_LOADED
    NVML_ERROR_LIBRARY_NOT_FOUND = NVML_ERROR_LIBRARY_NOT_FOUND
    NVML_ERROR_GPU_IS_LOST = NVML_ERROR_GPU_IS_LOST

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        return self._counted(name, value) if name.startswith("nvml") else value

    def _counted(self, name: str, answer: Any) -> Any:
        def call(*arguments: Any) -> Any:
            with self._lock:
                self.calls[name] += 1
            time.sleep(self.latency)
            index = arguments[0] if arguments and isinstance(arguments[0], int) else -1
            code = self.failing.get(name, self.failing.get((name, index)))
            if code is not None:
                raise NVMLError(code)
            return answer(*arguments)

        return call

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.86.15"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 12080

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, gpu: int | FakeSlice) -> str:
        return f"NVIDIA MIG {gpu.profile}" if isinstance(gpu, FakeSlice) else self.gpus[gpu].name

    def nvmlDeviceGetUUID(self, gpu: int | FakeSlice) -> str:
        return gpu.uuid if isinstance(gpu, FakeSlice) else f"GPU-{gpu}f3d0c1e-5b1c-4d0a-9a53-0a1b2c3d4e5f"

    def nvmlDeviceGetMemoryInfo(self, gpu: int | FakeSlice, version: int | None = None) -> SimpleNamespace:
        """Version 2 tells what the driver reserves; version 1 counts it as used."""
        if isinstance(gpu, FakeSlice):
            free = gpu.total - gpu.used
            return SimpleNamespace(total=gpu.total * MIB, used=gpu.used * MIB, free=free * MIB)
        card = self.gpus[gpu]
        free = (card.total - card.reserved - card.used) * MIB
        if version is None:
            return SimpleNamespace(total=card.total * MIB, free=free, used=card.total * MIB - free)
        return SimpleNamespace(
            total=card.total * MIB, free=free, used=card.used * MIB, reserved=card.reserved * MIB
        )

    def nvmlDeviceGetCudaComputeCapability(self, gpu: int) -> tuple[int, int]:
        return self.gpus[gpu].capability

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=97, memory=41)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        return 612_345

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        return 54

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: int) -> list[SimpleNamespace]:
        slices = self.gpus[gpu].slices
        instance = slices[0].gpu_instance if slices else 0xFFFFFFFF
        return [
            SimpleNamespace(
                pid=pid, usedGpuMemory=None if size is None else size * MIB, gpuInstanceId=instance
            )
            for pid, size in self.gpus[gpu].processes
        ]

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: int) -> list[SimpleNamespace]:
        return []

    def nvmlDeviceGetPowerManagementLimit(self, gpu: int) -> int:
        return self.gpus[gpu].limit * 1000

    def nvmlDeviceGetPowerManagementDefaultLimit(self, gpu: int) -> int:
        return self.gpus[gpu].limit * 1000

    def nvmlDeviceGetClockInfo(self, gpu: int, clock: int) -> int:
        return {1: 345, 2: self.gpus[gpu].clocks[1]}[clock]

    def nvmlDeviceGetMaxClockInfo(self, gpu: int, clock: int) -> int:
        return self.gpus[gpu].clocks[clock - 1]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:
        return self.gpus[gpu].throttle

    def nvmlDeviceGetEccMode(self, gpu: int) -> list[int]:
        return [int(_supported(self.gpus[gpu].ecc))] * 2

    def nvmlDeviceGetTotalEccErrors(self, gpu: int, kind: int, counter: int) -> int:
        return 0

    def nvmlDeviceGetRemappedRows(self, gpu: int) -> tuple[int, int, int, int]:
        _supported(self.gpus[gpu].ecc)
        return self.gpus[gpu].rows

    def nvmlDeviceGetGpuFabricInfoV(self, gpu: int, info: SimpleNamespace) -> int:
        info.state, info.status = _supported(self.gpus[gpu].fabric), 0
        return 0

    def nvmlDeviceGetMigMode(self, gpu: int) -> list[int]:
        return [int(bool(_supported(self.gpus[gpu].slices)))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: int) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: int, place: int) -> FakeSlice:
        slices = self.gpus[gpu].slices or ()
        if place >= len(slices):
            raise NVMLError(NVML_ERROR_NOT_FOUND)
        return slices[place]

    def nvmlDeviceGetGpuInstanceId(self, part: FakeSlice) -> int:
        return part.gpu_instance

    def nvmlDeviceGetComputeInstanceId(self, part: FakeSlice) -> int:
        return 0

    def nvmlDeviceGetCurrPcieLinkGeneration(self, gpu: int) -> int:
        return 1

    def nvmlDeviceGetMaxPcieLinkGeneration(self, gpu: int) -> int:
        return self.gpus[gpu].generation

    def nvmlDeviceGetCurrPcieLinkWidth(self, gpu: int) -> int:
        return 16

    def nvmlDeviceGetMaxPcieLinkWidth(self, gpu: int) -> int:
        return 16

    def nvmlDeviceGetPciInfo(self, gpu: int) -> SimpleNamespace:
        return SimpleNamespace(busId=_bus(gpu).encode())

    def nvmlDeviceGetMemoryAffinity(self, gpu: int, words: int, scope: int) -> list[int]:
        return [1 << self.gpus[gpu].numa]

    def nvmlDeviceGetCpuAffinity(self, gpu: int, words: int) -> list[int]:
        return [0xF << 32 * self.gpus[gpu].numa | 1 << 60]

    def nvmlDeviceGetNvLinkState(self, gpu: int, link: int) -> int:
        links = _supported(self.gpus[gpu].nvlinks)
        if link >= links:
            raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
        return int(link >= self.gpus[gpu].inactive_links)

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, gpu: int, link: int) -> int:
        return 2 if self.gpus[gpu].switch else 0

    def nvmlDeviceGetNvLinkRemotePciInfo(self, gpu: int, link: int) -> SimpleNamespace:
        peers = self.gpus[gpu].peers
        if not peers:
            raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(busId=_bus(peers[link % len(peers)]).lower())

    def nvmlDeviceGetFieldValues(self, gpu: int, fields: list[int]) -> list[SimpleNamespace]:
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=26562)) for _ in fields]

    def nvmlDeviceGetP2PStatus(self, a: int, b: int, kind: int) -> int:
        return 0 if self.gpus[a].nvlinks and self.gpus[b].nvlinks else 5

    def nvmlDeviceGetTopologyCommonAncestor(self, a: int, b: int) -> int:
        if self.gpus[a].numa != self.gpus[b].numa:
            return 50
        return 10 if a // 2 == b // 2 else 40


def eight_h200(**failing: int) -> FakeNvml:
    """`failing` maps names of functions to the NVML error each raises."""
    return FakeNvml([H200] * 8, dict(failing))


def eight_h100(latency: float = 0.0) -> FakeNvml:
    """Two sockets, all GPUs on an NVSwitch."""
    return FakeNvml([replace(H100, numa=index // 4) for index in range(8)], latency=latency)


def shared(pid: int, *, mib: int = 31_204) -> FakeNvml:
    """Process `pid` holds memory of GPU 2."""
    gpus = [H100] * 4
    gpus[2] = replace(H100, used=mib, processes=((pid, mib),))
    return FakeNvml(gpus)


def mixed_cards() -> FakeNvml:
    """An A100 between two RTX 4090."""
    return FakeNvml([RTX4090, replace(A100, nvlinks=0), RTX4090])


def in_slices(*processes: tuple[int, int | None]) -> FakeNvml:
    """GPU 0 whole, GPU 1 in two MIG slices, with `processes` (pid and MiB) in the first."""
    slices = (
        FakeSlice("MIG-aa11c5d2-0000-5000-8000-000000000001", "3g.40gb", 40448, 100, 1),
        FakeSlice("MIG-bb22c5d2-0000-5000-8000-000000000002", "1g.10gb", 9728, 12, 9),
    )
    return FakeNvml([A100, replace(A100, slices=slices, nvlinks=0, processes=processes)])


def _supported(value: Any) -> Any:
    if value is None:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return value


def _bus(gpu: int) -> str:
    return f"00000000:{0x18 + 0x10 * gpu:02X}:00.0"
