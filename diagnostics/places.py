"""Places to plan for: machines described in words, and this machine as it was found."""

import re
from collections.abc import Sequence
from dataclasses import replace

from diagnostics.gpu_facts import GpuFacts
from diagnostics.hardware import Hardware
from diagnostics.place_warnings import held, warnings
from engine.findings import Finding, FindingsError, Fix
from engine.footprint.devices import (
    GEN3,
    GEN4,
    GEN5,
    GIB,
    VISIBLE_SHARE,
    Device,
    assumed_of_name,
    find_device,
    known_device,
)
from engine.footprint.job import Place

HOST_SHARE = 2
"""Host memory assumed of a described machine, in memory of all its GPUs: what is sold with eight A100 or H100
(0.6 TB together) has 1 to 2 TB."""
NODE_LINK = 50e9
"""Bytes per second and GPU between machines: 400 Gb/s, as H100 and later are sold with."""
NODE_LINK_AMPERE = 25e9
MAX_GPUS = 16
"""Of one machine, as sold."""
PCIE = {3: (GEN3, 16e9), 4: (GEN4, 32e9), 5: (GEN5, 64e9)}
"""By generation, for 16 lanes, bytes per second: to host memory in practice, and between GPUs nominally."""
EXAMPLES = "8xA100-80, 4xH200, 1xRTX4090, 4xunknown-24"


def described_place(text: str, nodes: int = 1, host_memory: int | None = None) -> Place:
    """The place that `text` describes: GPUs of one machine ("8xA100-80", "H200" for one), `nodes` machines.

    `host_memory`: bytes of one machine, assumed when None. Raises FindingsError for what is no number and
    name, for an unknown GPU and for numbers no machine has. What had to be assumed: `assumed_of_place`.
    """
    count, device = _described(text, nodes)
    ampere = device.name.startswith(("A100", "A800"))
    return Place(
        device=device,
        ranks=count * nodes,
        ranks_per_node=count,
        island=count if device.nvlink else 1,
        free=device.memory,
        host_memory=host_memory or HOST_SHARE * count * device.memory,
        node_link=NODE_LINK_AMPERE if ampere else NODE_LINK,
    )


def assumed_of_place(text: str, nodes: int = 1, host_memory: int | None = None) -> list[Finding]:
    """What `described_place` had to assume, with the same arguments: findings of severity info."""
    place = described_place(text, nodes, host_memory)
    assumed = assumed_of_name(_split(text)[1])
    if host_memory is None:
        cause = (
            f"a machine with {text} is assumed to have {place.host_memory / GIB:.0f} GiB of RAM, "
            f"{HOST_SHARE} times the memory of its GPUs."
        )
        assumed.append(Finding("hardware.host-assumed", "info", cause, fixes=(Fix("give its RAM"),)))
    return assumed


def detected_place(hardware: Hardware, nproc: int | None = None) -> tuple[Place, list[Finding]]:
    """This machine as a place for `nproc` ranks, by default one a GPU or one in all, and what to say of it.

    Planned for what is there now: the least memory that is free on one GPU, the slowest of unlike GPUs, a MIG
    slice as the device that it is. Without GPU each rank has its share of the memory that is available.
    """
    ranks = nproc or max(1, len(hardware.gpus))
    gpus = hardware.gpus[:ranks]
    if not gpus:
        return _cpu_place(hardware, ranks), warnings(hardware, (), ranks, _cpu(hardware, ranks), 1)
    usual = _device(gpus)
    island = _island([gpu.index for gpu in gpus], hardware.topology.islands) if ranks == len(gpus) else 1
    ranks_per_gpu = -(-ranks // len(gpus))
    place = Place(
        device=_linked(usual, gpus, island),
        ranks=ranks,
        ranks_per_node=ranks,
        island=island,
        free=min(_free(gpu) for gpu in gpus) // ranks_per_gpu,
        host_memory=hardware.memory_available,
        disk_free=hardware.disk_free,
        held=max(held(gpu) for gpu in gpus),
    )
    return place, warnings(hardware, gpus, ranks, usual, island)


def _cpu_place(hardware: Hardware, ranks: int) -> Place:
    device = _cpu(hardware, ranks)
    return Place(
        device=device,
        ranks=ranks,
        ranks_per_node=ranks,
        island=1,
        free=device.memory,
        host_memory=hardware.memory_available,
        disk_free=hardware.disk_free,
    )


def _cpu(hardware: Hardware, ranks: int) -> Device:
    """Speeds are not known until they are measured."""
    return Device("cpu", hardware.memory_available // ranks, bandwidth=None, peak=None, kind="cpu")


def _device(gpus: Sequence[GpuFacts]) -> Device:
    """The device that all GPUs are at least: the smallest memory, and speeds only if all are known."""
    devices = [_one_device(gpu) for gpu in gpus]
    smallest = min(devices, key=lambda device: device.memory)
    return replace(
        smallest,
        bandwidth=_least([device.bandwidth for device in devices]),
        peak=_least([device.peak for device in devices]),
        peak_fp8=_least([device.peak_fp8 for device in devices]),
        pcie=min(_host_link(gpu, device) for gpu, device in zip(gpus, devices, strict=True)),
    )


def _one_device(gpu: GpuFacts) -> Device:
    """Speeds of the table, memory as it is here; of a MIG slice and an unknown GPU only memory is known."""
    known = None if gpu.slice_of else known_device(gpu.name)
    if gpu.slice_of:
        memory = gpu.memory_total
    elif gpu.memory_reserved is not None:
        memory = gpu.memory_total - gpu.memory_reserved
    else:
        memory = known.memory if known else int(gpu.memory_total * VISIBLE_SHARE)
    return replace(known, memory=memory) if known else Device(gpu.name, memory, bandwidth=None, peak=None)


def _host_link(gpu: GpuFacts, device: Device) -> float:
    rates = PCIE.get(gpu.pcie.generation_max or 0)
    return rates[0] * (gpu.pcie.width_max or 16) / 16 if rates else device.pcie


def _linked(device: Device, gpus: Sequence[GpuFacts], island: int) -> Device:
    """`device` with the link that its neighbours have here."""
    if len(gpus) == 1:
        return device
    if island > 1:
        measured = _least([gpu.nvlink_speed for gpu in gpus])
        return replace(device, nvlink=True, link=device.link if device.nvlink else measured)
    rates = [PCIE[gpu.pcie.generation_max][1] for gpu in gpus if gpu.pcie.generation_max in PCIE]
    return replace(device, nvlink=False, link=min(rates) if len(rates) == len(gpus) else None)


def _free(gpu: GpuFacts) -> int:
    return gpu.memory_free if gpu.memory_free is not None else _one_device(gpu).memory


def _island(order: list[int], islands: Sequence[Sequence[int]]) -> int:
    """The most neighbours in `order`, a divisor of all, of which every group lies within one of `islands`."""
    for size in range(len(order), 1, -1):
        groups = [set(order[start : start + size]) for start in range(0, len(order), size)]
        if len(order) % size == 0 and all(any(group <= set(i) for i in islands) for group in groups):
            return size
    return 1


def _least(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def _described(text: str, nodes: int) -> tuple[int, Device]:
    count, name = _split(text)
    if nodes < 1:
        raise FindingsError([_malformed(f"{nodes} machines cannot run anything", "give 1 or more")])
    if count == 0:
        raise FindingsError([_malformed(f"{text!r} has no GPU", f"write for example {EXAMPLES}")])
    if count > MAX_GPUS:
        wanted = f"8x{name} on {-(-count * nodes // 8)} machines"
        raise FindingsError([_malformed(f"no machine has {count} GPUs; {text!r} is one machine", wanted)])
    return count, find_device(name)


def _split(text: str) -> tuple[int, str]:
    """ "8xA100-80" → 8, "A100-80"; "H200" → 1, "H200"."""
    match = re.fullmatch(r"\s*(?:(\d+)\s*[x×*]\s*)?([a-z0-9][\w .-]*?)\s*", text, re.IGNORECASE)
    if match is None:
        raise FindingsError([_malformed(f"{text!r} describes no GPUs", f"write for example {EXAMPLES}")])
    swapped = re.fullmatch(r"(.+?)\s*[x×*]\s*(\d+)", match[2], re.IGNORECASE)
    if swapped and not match[1]:
        raise FindingsError(
            [_malformed(f"{text!r} has its number at the end", f"write {swapped[2]}x{swapped[1]}")]
        )
    return int(match[1] or 1), match[2]


def _malformed(cause: str, fix: str) -> Finding:
    return Finding("hardware.gpus-malformed", "error", f"{cause}.", fixes=(Fix(fix),))
