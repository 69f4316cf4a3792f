"""What is known about a GPU: memory and who holds it, limits, clocks, errors, slices, links."""

import msgspec

from engine.findings import Finding


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
    nvlink_peers: tuple[str, ...] = ()
    """PCI bus ids at the other end of links that go to no switch."""


class GpuReport(msgspec.Struct, frozen=True):
    """All GPUs that answered, the indices of those that did not, and what is wrong."""

    gpus: tuple[GpuFacts, ...] = ()
    unreachable: tuple[int, ...] = ()
    problems: tuple[Finding, ...] = ()
