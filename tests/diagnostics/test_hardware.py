"""The machine: GPUs from a stand-in for NVML, limits from files as Linux lays them out."""

import os
from pathlib import Path

import pytest

from diagnostics.gpu_reading import read_gpus
from diagnostics.hardware import detect
from diagnostics.nvml import GpuSample, Nvml
from diagnostics.sampler import Sampler
from diagnostics.visible import visible
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
    gpus = visible(read_gpus(Nvml(eight_h200())).gpus, {"CUDA_VISIBLE_DEVICES": value})
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


def test_sampler_writes_every_gpu_and_the_host(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    nvml = Nvml(eight_h200())
    sampler = Sampler(tmp_path, read_gpus(nvml).gpus[:2], nvml)
    sampler.start()
    sampler.stop()
    events = EventFollower(tmp_path / "events").poll()
    gpus = [event for event in events if isinstance(event, Gpu)]
    assert [(gpu.index, gpu.power) for gpu in gpus] == [(0, 612.345), (1, 612.345)]
    (host,) = [event for event in events if isinstance(event, Host)]
    assert 0 < host.memory_used < host.memory_total and host.disk_free > 0
