"""What is known about a GPU: memory and who holds it, limits, clocks, errors, slices, links."""

import msgspec

from engine.findings import Finding

THROTTLE_REASONS = {
    0x002: "clocks set by an application",
    0x004: "power limit",
    0x008: "hardware slowdown",
    0x010: "clocks kept equal with other GPUs",
    0x020: "heat (software)",
    0x040: "heat (hardware)",
    0x080: "power brake of the power supply",
    0x100: "clocks set by the display",
}
"""Bits of NVML's clock event reasons that slow a GPU down; being idle (0x1) is none."""


def throttled_words(bits: int | None) -> tuple[str, ...] | None:
    """NVML's clock event reasons in words; None where they are not told."""
    if bits is None:
        return None
    return tuple(words for bit, words in THROTTLE_REASONS.items() if bits & bit)


class GpuProcess(msgspec.Struct, frozen=True):
    """A process with memory on a GPU. `user` and `command` are "?" where it is not visible from here."""

    pid: int
    user: str
    command: str
    memory: int | None = None
    """Bytes; None where the driver does not tell (a container, MIG)."""
    gpu_instance: int | None = None
    """With MIG: the instance it runs in."""


class MigSlice(msgspec.Struct, frozen=True):
    """A MIG device: a part of a GPU with memory of its own, in bytes. `profile` is like "3g.40gb"."""

    uuid: str
    profile: str
    memory_total: int
    memory_free: int
    gpu_instance: int | None = None
    compute_instance: int | None = None


class Pcie(msgspec.Struct, frozen=True):
    """The link to the host: generation and lanes. The present generation is lower while a GPU idles."""

    generation: int | None = None
    generation_max: int | None = None
    width: int | None = None
    width_max: int | None = None


class GpuFacts(msgspec.Struct, frozen=True):
    """One GPU, or one MIG slice of it as CUDA sees it. Bytes, watts, MHz; None where it does not tell.

    `index` counts all GPUs of the machine in NVML's order (that of `CUDA_DEVICE_ORDER=PCI_BUS_ID`).
    """

    index: int
    name: str
    uuid: str = ""
    memory_total: int = 0
    capability: tuple[int, int] | None = None
    memory_free: int | None = None
    memory_used: int | None = None
    memory_reserved: int | None = None
    """Kept by the driver; neither free nor used, where it is told."""
    processes: tuple[GpuProcess, ...] | None = None
    power_limit: float | None = None
    power_limit_default: float | None = None
    clock: int | None = None
    """Of the multiprocessors."""
    clock_max: int | None = None
    memory_clock: int | None = None
    memory_clock_max: int | None = None
    throttled: tuple[str, ...] | None = None
    """Why the clocks are low at this moment, in words; () when nothing but idleness lowers them."""
    ecc: bool | None = None
    ecc_errors: int | None = None
    """Uncorrected memory errors since the driver was loaded."""
    ecc_errors_lifetime: int | None = None
    rows_pending: bool | None = None
    """Memory rows are replaced at the next reset of the GPU."""
    rows_failed: bool | None = None
    """No spare row was left for a broken one."""
    mig: bool | None = None
    slices: tuple[MigSlice, ...] = ()
    slice_of: str | None = None
    """For a slice: the UUID of its GPU."""
    pci_bus: str | None = None
    pcie: Pcie = Pcie()
    numa_node: int | None = None
    cpus: str | None = None
    """CPUs next to it, "0-31,64-95"."""
    nvlinks: int | None = None
    """Active NVLinks."""
    nvlink_speed: float | None = None
    """Of all active links together, bytes per second one way."""
    nvswitch: bool = False
    """The links go to a switch, which joins all GPUs of the machine."""
    fabric: str | None = None
    """Of GPUs that the fabric manager joins (Hopper and later): "completed" when it has done so."""
    nvlink_peers: tuple[str, ...] = ()
    """PCI bus ids at the other end of links that go to no switch."""


class GpuReport(msgspec.Struct, frozen=True):
    """All GPUs that answered, the indices of those that did not, and what is wrong."""

    gpus: tuple[GpuFacts, ...] = ()
    unreachable: tuple[int, ...] = ()
    problems: tuple[Finding, ...] = ()
