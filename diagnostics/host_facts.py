"""What a process may use of its host: cores, memory, `/dev/shm`, disk, within the limits of its container."""

import os
import shutil
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
NUMA_NODES = Path("/sys/devices/system/node")
SHM = Path("/dev/shm")
UNLIMITED = 2**60
"""Bytes from which on a limit is none: version 1 writes "no limit" as the largest number of pages."""


def usable_cores(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Cores this process may use, at least 1: by affinity mask and by CPU quota of its control groups."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    quotas = [
        *(_quota(folder / "cpu.max") for folder in _folders(cgroup, membership, "")),
        *(_quota_v1(folder) for folder in _folders(cgroup / "cpu", membership, "cpu")),
    ]
    return max(1, int(min([len(affinity), *(quota for quota in quotas if quota)])))


def memory_limit(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int | None:
    """The smallest memory limit of this process's control groups in bytes; None without one."""
    return min((limit for limit, _ in _memory_limits(cgroup, membership)), default=None)


def memory_left(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the control groups of this process still grant it; None without a limit.

    Cached file pages count as used there, and are given up when memory is asked for: they are left out.
    """
    return min((max(0, limit - used) for limit, used in _memory_limits(cgroup, membership)), default=None)


def oom_kills(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int | None:
    """Processes that the kernel has ended in this process's control groups for lack of memory.

    None where it does not count them.
    """
    files = [
        *(folder / "memory.events" for folder in _folders(cgroup, membership, "")),
        *(folder / "memory.oom_control" for folder in _folders(cgroup / "memory", membership, "memory")),
    ]
    counted = [_statistic(file, "oom_kill") for file in files if _read(file)]
    return max(counted, default=None)


def numa_nodes(root: Path = NUMA_NODES) -> int | None:
    """NUMA nodes of the machine; None where the kernel does not tell."""
    return sum(1 for _ in root.glob("node[0-9]*")) or None


def room(folder: Path) -> tuple[int, int] | None:
    """Total and free bytes of the disk of `folder`, or of its nearest ancestor that exists."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        return usage.total, usage.free
    return None


def _memory_limits(cgroup: Path, membership: Path) -> list[tuple[int, int]]:
    """Limit and use in bytes of each control group that has a limit."""
    groups = [
        *(
            (folder, "memory.max", "memory.current", "inactive_file")
            for folder in _folders(cgroup, membership, "")
        ),
        *(
            (folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for folder in _folders(cgroup / "memory", membership, "memory")
        ),
    ]
    return [
        (limit, (_number(_read(folder / used)) or 0) - _statistic(folder / "memory.stat", cached))
        for folder, most, used, cached in groups
        if (limit := _number(_read(folder / most))) and limit < UNLIMITED
    ]


def _statistic(file: Path, key: str) -> int:
    """A value of a `memory.stat`, lines of name and number; 0 without it."""
    entries = (line.split() for line in _read(file).splitlines())
    return next((int(words[1]) for words in entries if len(words) == 2 and words[0] == key), 0)


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
