"""The machine: GPUs from a stand-in for NVML, limits from files as Linux lays them out."""

import os
from pathlib import Path

import pytest

from diagnostics.hardware import detect, memory_limit, usable_cores
from diagnostics.nvml import GpuSample, Nvml, visible
from diagnostics.sampler import Sampler
from engine.events import Gpu, Host
from rftui.runs.follow import EventFollower
from tests.diagnostics.fake_nvml import (
    NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    NVML_ERROR_LIBRARY_NOT_FOUND,
    NVML_ERROR_NOT_SUPPORTED,
    eight_h200,
)

GIB = 1024**3


def test_this_machine_is_seen_with_or_without_gpu() -> None:
    hardware = detect()
    assert 1 <= hardware.cores <= len(os.sched_getaffinity(0))
    assert 0 < hardware.memory_available <= hardware.memory_total


def test_eight_gpus_are_listed_with_their_facts() -> None:
    hardware = detect(Nvml(eight_h200()), environ={})
    assert hardware.driver == "570.86.15" and hardware.problems == ()
    assert [gpu.index for gpu in hardware.gpus] == list(range(8))
    first = hardware.gpus[0]
    assert (first.name, first.capability, first.memory_total // GIB) == ("NVIDIA H200", (9, 0), 140)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("-1", []),
        ("3,1", [3, 1]),
        ("0, 2", [0, 2]),
        ("0,99,1", [0]),
        ("2,2,3", [2]),
        ("GPU-5f3d0c1e,0", [5, 0]),
        ("GPU-", []),
    ],
)
def test_visible_devices_are_read_as_cuda_does(value: str, expected: list[int]) -> None:
    gpus = visible(Nvml(eight_h200()).facts(), {"CUDA_VISIBLE_DEVICES": value})
    assert [gpu.index for gpu in gpus] == expected


def test_sample_leaves_out_what_the_device_does_not_tell() -> None:
    whole = Nvml(eight_h200()).sample(0)
    assert whole == GpuSample(3_221_225_472, 150_754_820_096, 97.0, 612.345, 54.0)
    poor = Nvml(eight_h200(nvmlDeviceGetPowerUsage=NVML_ERROR_NOT_SUPPORTED)).sample(0)
    assert poor.power is None and poor.utilization == 97.0
    assert Nvml(eight_h200(nvmlDeviceGetHandleByIndex=15)).sample(0) == GpuSample()


def test_broken_driver_is_a_finding_and_an_absent_one_is_not() -> None:
    broken = detect(Nvml(eight_h200(nvmlInit=NVML_ERROR_LIB_RM_VERSION_MISMATCH)))
    assert broken.gpus == ()
    assert [f.id for f in broken.problems] == ["hardware.nvml-broken"]
    assert "Driver/library version mismatch" in broken.problems[0].cause
    if not Path("/dev/nvidiactl").exists():
        assert detect(Nvml(eight_h200(nvmlInit=NVML_ERROR_LIBRARY_NOT_FOUND))).problems == ()


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


def test_sampler_writes_every_gpu_and_the_host(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    nvml = Nvml(eight_h200())
    sampler = Sampler(tmp_path, nvml.facts()[:2], nvml)
    sampler.start()
    sampler.stop()
    events = EventFollower(tmp_path / "events").poll()
    gpus = [event for event in events if isinstance(event, Gpu)]
    assert [(gpu.index, gpu.power) for gpu in gpus] == [(0, 612.345), (1, 612.345)]
    (host,) = [event for event in events if isinstance(event, Host)]
    assert 0 < host.memory_used < host.memory_total and host.disk_free > 0


def _file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
