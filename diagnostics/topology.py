"""How the GPUs of a machine are joined: by NVLink, a PCIe switch, a NUMA node, or across the machine."""

import itertools
from typing import Literal

import msgspec

from diagnostics.gpu_facts import GpuFacts
from diagnostics.nvml import GpuQuery, LostGpuError, Nvml

Join = Literal["nvlink", "switch", "numa", "across", "unknown"]
LEVELS: dict[int, Join] = {0: "switch", 10: "switch", 20: "switch", 30: "numa", 40: "numa", 50: "across"}
"""NVML_TOPOLOGY_*: one board, one or several PCIe switches, a host bridge, a NUMA node, the whole system."""
P2P_READ, P2P_NVLINK, P2P_OK = 0, 2, 0


class Pair(msgspec.Struct, frozen=True):
    """Two GPUs by index, `a < b`, and the closest thing that joins them."""

    a: int
    b: int
    join: Join
    peer: bool | None = None
    """Whether one can read the other's memory; None where the driver does not tell."""


class Topology(msgspec.Struct, frozen=True):
    """All pairs, and `islands`: groups of GPUs that NVLink joins, directly or over others of the group."""

    pairs: tuple[Pair, ...] = ()
    islands: tuple[tuple[int, ...], ...] = ()


def read_topology(nvml: Nvml, gpus: tuple[GpuFacts, ...]) -> Topology:
    """How `gpus` are joined; a pair that cannot be asked is "unknown"."""
    queries: dict[int, GpuQuery] = {}
    for gpu in gpus if len(gpus) > 1 else ():
        try:
            queries[gpu.index] = nvml.query(gpu.index)
        except LostGpuError:
            continue
    pairs = tuple(
        _pair(a, b, queries.get(a.index), queries.get(b.index)) for a, b in itertools.combinations(gpus, 2)
    )
    return Topology(pairs, islands([gpu.index for gpu in gpus], pairs))


def islands(indices: list[int], pairs: tuple[Pair, ...]) -> tuple[tuple[int, ...], ...]:
    """Groups of `indices` that NVLink joins, each sorted; a GPU without NVLink is alone."""
    group = {index: {index} for index in indices}
    for pair in pairs:
        if pair.join == "nvlink" and pair.a in group and pair.b in group:
            merged = group[pair.a] | group[pair.b]
            group.update(dict.fromkeys(merged, merged))
    return tuple(dict.fromkeys(tuple(sorted(group[index])) for index in indices))


def _pair(a: GpuFacts, b: GpuFacts, asked: GpuQuery | None, other: GpuQuery | None) -> Pair:
    join = _join(a, b, asked, other)
    return Pair(a.index, b.index, join, True if join == "nvlink" else _peer(asked, other))


def _peer(asked: GpuQuery | None, other: GpuQuery | None) -> bool | None:
    if asked is None or other is None:
        return None
    try:
        status = asked.ask("nvmlDeviceGetP2PStatus", other.handle, P2P_READ)
    except LostGpuError:
        return None
    return None if status is None else status == P2P_OK


def _join(a: GpuFacts, b: GpuFacts, asked: GpuQuery | None, other: GpuQuery | None) -> Join:
    if _nvlinked(a, b) or _nvlinked(b, a):
        return "nvlink"
    if asked is None or other is None:
        return "unknown"
    try:
        if _ends_unknown(a) and _ends_unknown(b):  # a virtual machine that does not show the switch
            status = asked.ask("nvmlDeviceGetP2PStatus", other.handle, P2P_NVLINK)
            if status == P2P_OK:
                return "nvlink"
        level = asked.ask("nvmlDeviceGetTopologyCommonAncestor", other.handle)
    except LostGpuError:
        return "unknown"
    return LEVELS.get(level, "unknown") if level is not None else "unknown"


def _nvlinked(a: GpuFacts, b: GpuFacts) -> bool:
    return (a.nvswitch and b.nvswitch) or (b.pci_bus is not None and b.pci_bus in a.nvlink_peers)


def _ends_unknown(gpu: GpuFacts) -> bool:
    return bool(gpu.nvlinks) and not gpu.nvswitch and not gpu.nvlink_peers
