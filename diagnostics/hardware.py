"""The machine as NVML, psutil and the operating system see it, with the limits of its container."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from diagnostics import host_facts
from diagnostics.gpu_facts import GpuFacts
from diagnostics.gpu_reading import read_gpus
from diagnostics.nvml import Nvml
from diagnostics.topology import Topology, read_topology
from diagnostics.visible import visible
from engine.findings import Finding


class Hardware(msgspec.Struct, frozen=True):
    """What a run can use here. Memory in bytes; `gpus` are those that CUDA_VISIBLE_DEVICES leaves."""

    host: str
    cores: int
    memory_total: int
    memory_available: int
    gpus: tuple[GpuFacts, ...] = ()
    driver: str | None = None
    problems: tuple[Finding, ...] = ()
    cuda: str | None = None
    """The newest CUDA version that the driver supports."""
    installed: int = 0
    """GPUs of the machine, visible or not."""
    unreachable: tuple[int, ...] = ()
    """Indices of GPUs that do not answer; they are not in `gpus`."""
    topology: Topology = Topology()
    """Of all GPUs that answer, by their index."""
    memory_limit: int | None = None
    """Of the container; already in `memory_total` and `memory_available`."""
    oom_kills: int | None = None
    """Processes of the container that the kernel has ended for lack of memory; None where it is not told."""
    swap_total: int = 0
    swap_free: int = 0
    shm_total: int | None = None
    """/dev/shm, which NCCL and data loaders use."""
    shm_free: int | None = None
    disk_total: int | None = None
    """Of the folder that was asked about."""
    disk_free: int | None = None
    numa_nodes: int | None = None


def detect(
    nvml: Nvml | None = None, environ: Mapping[str, str] = os.environ, folder: Path | None = None
) -> Hardware:
    """Look at this machine, without initialising CUDA; a broken driver or GPU is a finding in `problems`.

    `nvml`: an open session, default a new one. `folder`: whose disk is looked at, such as that of the runs.
    """
    import psutil

    nvml = nvml or Nvml()
    report = read_gpus(nvml)
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    limit, left = host_facts.memory_limit(), host_facts.memory_left()
    shm = host_facts.room(host_facts.SHM) if host_facts.SHM.exists() else None
    disk = host_facts.room(folder) if folder else None
    return Hardware(
        host=socket.gethostname(),
        cores=host_facts.usable_cores(),
        memory_total=min(memory.total, limit or memory.total),
        memory_available=memory.available if left is None else min(memory.available, left),
        gpus=visible(report.gpus, environ),
        driver=nvml.driver,
        problems=(*([nvml.problem] if nvml.problem else []), *report.problems),
        cuda=nvml.cuda,
        installed=nvml.count,
        unreachable=report.unreachable,
        topology=read_topology(nvml, report.gpus),
        memory_limit=limit,
        oom_kills=host_facts.oom_kills(),
        swap_total=swap.total,
        swap_free=swap.free,
        shm_total=shm[0] if shm else None,
        shm_free=shm[1] if shm else None,
        disk_total=disk[0] if disk else None,
        disk_free=disk[1] if disk else None,
        numa_nodes=host_facts.numa_nodes(),
    )
