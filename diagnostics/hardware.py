"""The machine as NVML, psutil and the operating system see it, with the limits of its container."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from diagnostics.nvml import GpuFacts, Nvml, visible
from engine.findings import Finding

CGROUP = Path("/sys/fs/cgroup")


class Hardware(msgspec.Struct, frozen=True):
    """What a run can use here. Memory in bytes; `gpus` are those that CUDA_VISIBLE_DEVICES leaves."""

    host: str
    cores: int
    memory_total: int
    memory_available: int
    gpus: tuple[GpuFacts, ...] = ()
    driver: str | None = None
    problems: tuple[Finding, ...] = ()


def detect(nvml: Nvml | None = None, environ: Mapping[str, str] = os.environ) -> Hardware:
    """Look at this machine. `nvml`: an open session, default a new one; a broken driver is a finding."""
    import psutil

    nvml = nvml or Nvml()
    memory = psutil.virtual_memory()
    limit = memory_limit()
    return Hardware(
        host=socket.gethostname(),
        cores=usable_cores(),
        memory_total=min(memory.total, limit or memory.total),
        memory_available=min(memory.available, limit or memory.available),
        gpus=visible(nvml.facts(), environ),
        driver=nvml.driver,
        problems=(nvml.problem,) if nvml.problem else (),
    )


def usable_cores(cgroup: Path = CGROUP, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Cores this process may use, at least 1: by affinity mask and by CPU quota of its control groups."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    quotas = [
        *(_quota(folder / "cpu.max") for folder in _folders(cgroup, membership, "")),
        *(_quota_v1(folder) for folder in _folders(cgroup / "cpu", membership, "cpu")),
    ]
    return max(1, int(min([len(affinity), *(quota for quota in quotas if quota)])))


def memory_limit(cgroup: Path = CGROUP, membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The smallest memory limit of this process's control groups in bytes; None without one."""
    files = [
        *(folder / "memory.max" for folder in _folders(cgroup, membership, "")),
        *(folder / "memory.limit_in_bytes" for folder in _folders(cgroup / "memory", membership, "memory")),
    ]
    return min((limit for file in files if (limit := _number(_read(file)))), default=None)


def _folders(root: Path, membership: Path, controller: str) -> list[Path]:
    """The control groups this process is in, from its own up to `root` (`controller` "": version 2)."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = root / path.lstrip("/")
            return [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return [root]


def _quota(file: Path) -> float | None:
    """Cores granted by version 2's `cpu.max` ("max 100000" or "150000 100000")."""
    words = _read(file).split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _quota_v1(folder: Path) -> float | None:
    quota, period = _number(_read(folder / "cpu.cfs_quota_us")), _number(_read(folder / "cpu.cfs_period_us"))
    return quota / period if quota and period else None


def _number(text: str) -> int | None:
    """A positive integer; None for "max", "-1" (no limit) and a missing file."""
    return int(text) if text.strip().isdecimal() and int(text) > 0 else None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
