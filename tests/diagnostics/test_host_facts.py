"""Limits of a container, from files as Linux lays them out."""

import os
from pathlib import Path

from diagnostics.host_facts import memory_left, memory_limit, numa_nodes, room, usable_cores

GIB = 1024**3


def test_quota_of_any_control_group_above_limits_the_cores(tmp_path: Path) -> None:
    membership = _file(tmp_path / "self", "0::/pod/container\n")
    root = tmp_path / "cgroup"
    _file(root / "pod/container/cpu.max", "max 100000\n")
    assert usable_cores(root, membership) == len(os.sched_getaffinity(0))
    _file(root / "pod/cpu.max", "150000 100000\n")
    assert usable_cores(root, membership) == 1
    _file(root / "pod/cpu.max", "50000 100000\n")
    assert usable_cores(root, membership) == 1


def test_quota_of_version_1_limits_the_cores(tmp_path: Path) -> None:
    membership = _file(tmp_path / "self", "4:memory:/\n3:cpu,cpuacct:/docker\n0::/\n")
    root = tmp_path / "cgroup"
    _file(root / "cpu/docker/cpu.cfs_quota_us", "100000\n")
    _file(root / "cpu/docker/cpu.cfs_period_us", "100000\n")
    assert usable_cores(root, membership) == 1
    _file(root / "cpu/docker/cpu.cfs_quota_us", "-1\n")
    assert usable_cores(root, membership) == len(os.sched_getaffinity(0))


def test_smallest_memory_limit_counts(tmp_path: Path) -> None:
    membership = _file(tmp_path / "self", "0::/a/b\n")
    root = tmp_path / "cgroup"
    assert memory_limit(root, membership) is None
    _file(root / "a/b/memory.max", "max\n")
    _file(root / "a/memory.max", f"{4 * GIB}\n")
    assert memory_limit(root, membership) == 4 * GIB


def test_what_a_group_uses_is_not_left_but_its_cached_files_are(tmp_path: Path) -> None:
    membership = _file(tmp_path / "self", "0::/a\n")
    root = tmp_path / "cgroup"
    assert memory_left(root, membership) is None
    _file(root / "a/memory.max", f"{8 * GIB}\n")
    _file(root / "a/memory.current", f"{5 * GIB}\n")
    _file(root / "a/memory.stat", f"anon {2 * GIB}\ninactive_file {3 * GIB}\n")
    assert memory_left(root, membership) == 6 * GIB


def test_memory_of_version_1_has_no_limit_when_it_is_the_largest_number(tmp_path: Path) -> None:
    membership = _file(tmp_path / "self", "4:memory:/job\n")
    root = tmp_path / "cgroup"
    _file(root / "memory/job/memory.limit_in_bytes", "9223372036854771712\n")
    assert memory_limit(root, membership) is None
    _file(root / "memory/job/memory.limit_in_bytes", f"{8 * GIB}\n")
    _file(root / "memory/job/memory.usage_in_bytes", f"{GIB}\n")
    assert (memory_limit(root, membership), memory_left(root, membership)) == (8 * GIB, 7 * GIB)


def test_numa_nodes_are_counted(tmp_path: Path) -> None:
    assert numa_nodes(tmp_path) is None
    for name in ("node0", "node1", "possible"):
        (tmp_path / name).mkdir()
    assert numa_nodes(tmp_path) == 2


def test_room_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    here = room(tmp_path / "not" / "yet")
    assert here is not None and 0 < here[1] <= here[0]


def _file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
