"""The machine: GPUs from a stand-in for NVML, limits from files as Linux lays them out."""

import getpass
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from diagnostics import gpu_reading
from diagnostics.gpu_facts import GpuFacts, GpuProcess, Pcie
from diagnostics.gpu_reading import read_gpus
from diagnostics.hardware import detect
from diagnostics.nvml import GpuSample, Nvml
from diagnostics.sampler import Sampler
from diagnostics.visible import visible
from engine.events import Gpu, Host
from rftui.runs.follow import EventFollower
from tests.diagnostics.fake_nvml import (
    H100,
    MIB,
    NVML_ERROR_GPU_IS_LOST,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    NVML_ERROR_LIBRARY_NOT_FOUND,
    NVML_ERROR_NO_PERMISSION,
    NVML_ERROR_NOT_SUPPORTED,
    NVML_ERROR_UNKNOWN,
    RTX4090,
    FakeNvml,
    NVMLError,
    eight_h100,
    eight_h200,
    in_slices,
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
    assert whole == GpuSample(3_221_225_472, 150_754_820_096, 97.0, 612.345, 54.0, 700.0, (), 0)
    poor = Nvml(eight_h200(nvmlDeviceGetPowerUsage=NVML_ERROR_NOT_SUPPORTED)).sample(0)
    assert poor.power is None and poor.utilization == 97.0
    assert Nvml(eight_h200(nvmlDeviceGetHandleByIndex=15)).sample(0) == GpuSample()


def test_every_fact_of_a_gpu_is_read() -> None:
    hardware = detect(Nvml(eight_h100()), environ={})
    gpu = hardware.gpus[5]
    assert (gpu.memory_total, gpu.memory_reserved) == (81559 * MIB, 560 * MIB)
    assert (gpu.memory_free, gpu.memory_used) == ((81559 - 564) * MIB, 4 * MIB)
    assert (gpu.power_limit, gpu.power_limit_default) == (700.0, 700.0)
    assert (gpu.clock, gpu.clock_max, gpu.memory_clock_max) == (345, 1980, 2619)
    assert (gpu.throttled, gpu.processes) == ((), ())
    assert (gpu.ecc, gpu.ecc_errors, gpu.ecc_errors_lifetime, gpu.mig) == (True, 0, 0, False)
    assert gpu.pcie == Pcie(1, 5, 16, 16) and gpu.pci_bus == "00000000:68:00.0"
    assert (gpu.numa_node, gpu.cpus) == (1, "32-35,60")
    assert (gpu.nvlinks, gpu.nvswitch, gpu.nvlink_peers) == (18, True, ())
    assert (hardware.cuda, hardware.installed, hardware.unreachable) == ("12.8", 8, ())


def test_a_driver_that_supports_nothing_leaves_everything_unknown() -> None:
    refused = {name: NVML_ERROR_NOT_SUPPORTED for name in vars(FakeNvml) if name.startswith("nvmlDevice")}
    del refused["nvmlDeviceGetCount"], refused["nvmlDeviceGetHandleByIndex"]
    hardware = detect(Nvml(FakeNvml([H100] * 2, refused)), environ={})
    assert hardware.gpus == (GpuFacts(0, "GPU"), GpuFacts(1, "GPU")) and hardware.problems == ()
    assert [pair.join for pair in hardware.topology.pairs] == ["unknown"]


def test_throttle_reasons_are_words() -> None:
    hot = FakeNvml([replace(H100, throttle=0x1 | 0x4 | 0x40)])
    assert detect(Nvml(hot), environ={}).gpus[0].throttled == ("power limit", "heat (hardware)")


def test_an_older_driver_counts_its_own_memory_as_used() -> None:
    class Old(FakeNvml):
        def nvmlDeviceGetMemoryInfo(self, gpu: int, version: int | None = None) -> SimpleNamespace:
            if version is not None:
                raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
            return super().nvmlDeviceGetMemoryInfo(gpu)

    gpu = detect(Nvml(Old([H100])), environ={}).gpus[0]
    assert (gpu.memory_used, gpu.memory_reserved) == (564 * MIB, None)
    assert gpu.memory_free == (81559 - 564) * MIB


def test_holders_of_memory_are_named_as_far_as_they_are_visible() -> None:
    command = ["sleep", "60", "--token=secret"]
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *command]) as process:
        try:
            mine, gone = (process.pid, 900), (2**22 + 1, None)
            nvml = Nvml(FakeNvml([replace(H100, processes=(gone, mine))]))
            first, second = detect(nvml, environ={}).gpus[0].processes or ()
        finally:
            process.kill()
    assert (first.pid, first.memory, first.user) == (process.pid, 900 * MIB, getpass.getuser())
    assert first.command.startswith("python") and "secret" not in first.command
    assert second == GpuProcess(2**22 + 1, "?", "?", None)


def test_processes_that_may_not_be_listed_are_unknown() -> None:
    machine = eight_h200(nvmlDeviceGetComputeRunningProcesses=NVML_ERROR_NO_PERMISSION)
    hardware = detect(Nvml(machine), environ={})
    assert hardware.gpus[0].processes is None and hardware.problems == ()


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMigMode"])
def test_a_gpu_that_fell_off_the_bus_is_a_finding_and_the_others_stay(function: str) -> None:
    machine = FakeNvml([H100] * 4, {(function, 2): NVML_ERROR_GPU_IS_LOST})
    hardware = detect(Nvml(machine), environ={})
    assert [gpu.index for gpu in hardware.gpus] == [0, 1, 3] and hardware.unreachable == (2,)
    (finding,) = hardware.problems
    assert finding.id == "hardware.gpu-lost" and "GPU 2" in finding.cause and "GPU is lost" in finding.cause
    assert hardware.topology.islands == ((0, 1, 3),)


def test_a_gpu_lost_while_the_topology_is_read_is_alone() -> None:
    machine = FakeNvml([RTX4090] * 3, {("nvmlDeviceGetTopologyCommonAncestor", 0): NVML_ERROR_GPU_IS_LOST})
    topology = detect(Nvml(machine), environ={}).topology
    assert [pair.join for pair in topology.pairs] == ["unknown", "unknown", "numa"]


def test_a_gpu_that_hangs_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(FakeNvml):
        def nvmlDeviceGetEccMode(self, gpu: int) -> list[int]:
            if gpu == 1:
                time.sleep(30)
            return super().nvmlDeviceGetEccMode(gpu)

    monkeypatch.setattr(gpu_reading, "READ_SECONDS", 0.3)
    start = time.monotonic()
    hardware = detect(Nvml(Hanging([H100] * 3)), environ={})
    assert time.monotonic() - start < 5
    assert [gpu.index for gpu in hardware.gpus] == [0, 2]
    assert [finding.id for finding in hardware.problems] == ["hardware.gpu-lost"]


def test_an_unknown_error_in_the_middle_is_a_finding_and_one_unknown_value() -> None:
    machine = FakeNvml([H100] * 2, {("nvmlDeviceGetPowerManagementLimit", 1): NVML_ERROR_UNKNOWN})
    hardware = detect(Nvml(machine), environ={})
    assert [gpu.power_limit for gpu in hardware.gpus] == [700.0, None]
    (finding,) = hardware.problems
    assert finding.id == "hardware.gpu-query-failed"
    assert finding.evidence == ("GPU 1: nvmlDeviceGetPowerManagementLimit: Unknown Error",)


def test_pcie_cards_are_joined_by_switch_and_numa_node() -> None:
    gpus = [replace(RTX4090, numa=index // 2) for index in range(4)]
    topology = detect(Nvml(FakeNvml(gpus)), environ={}).topology
    joins = {(pair.a, pair.b): pair.join for pair in topology.pairs}
    assert joins[0, 1] == joins[2, 3] == "switch" and joins[0, 2] == joins[1, 3] == "across"
    assert topology.islands == ((0,), (1,), (2,), (3,))


def test_links_with_hidden_ends_are_found_by_asking_for_peer_access() -> None:
    virtual = FakeNvml([replace(H100, switch=False)] * 4)
    assert detect(Nvml(virtual), environ={}).topology.islands == ((0, 1, 2, 3),)


def test_slices_have_memory_of_their_own() -> None:
    sliced = read_gpus(Nvml(in_slices())).gpus[1]
    assert sliced.mig and [part.profile for part in sliced.slices] == ["3g.40gb", "1g.10gb"]
    assert sliced.slices[0].memory_free == (40448 - 100) * MIB


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ["NVIDIA A100-SXM4-80GB"]),
        ("0", ["NVIDIA A100-SXM4-80GB"]),
        ("1", ["NVIDIA A100-SXM4-80GB MIG 3g.40gb"]),
        ("0,1", ["NVIDIA A100-SXM4-80GB"]),
        ("MIG-bb22c5d2-0000-5000-8000-000000000002", ["NVIDIA A100-SXM4-80GB MIG 1g.10gb"]),
        ("MIG-bb22,MIG-aa11", ["NVIDIA A100-SXM4-80GB MIG 1g.10gb"]),
        (
            "MIG-GPU-1f3d0c1e-5b1c-4d0a-9a53-0a1b2c3d4e5f/9/0",
            ["NVIDIA A100-SXM4-80GB MIG 1g.10gb"],
        ),
        ("MIG-", []),
    ],
)
def test_one_process_sees_one_slice(value: str | None, names: list[str]) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": value} if value is not None else {}
    assert [gpu.name for gpu in visible(read_gpus(Nvml(in_slices())).gpus, environ)] == names


@pytest.mark.alone
def test_eight_gpus_are_probed_in_time_and_with_few_calls() -> None:
    """A call to NVML takes 0.01 to 1 ms; here each takes 1."""
    machine = eight_h100(latency=0.001)
    seconds = []
    for _ in range(3):
        machine.calls.clear()
        start = time.perf_counter()
        detect(Nvml(machine), environ={})
        seconds.append(time.perf_counter() - start)
    assert sum(machine.calls.values()) <= 400
    assert min(seconds) <= 0.15


def test_probing_imports_neither_torch_nor_numpy() -> None:
    code = "import sys; from diagnostics.hardware import detect; detect()"
    code += "; print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_disk_and_shared_memory_are_those_of_this_host(tmp_path: Path) -> None:
    hardware = detect(Nvml(FakeNvml([])), environ={}, folder=tmp_path / "runs")
    assert hardware.disk_free and hardware.disk_total and hardware.disk_free <= hardware.disk_total
    assert (hardware.shm_total is not None) == Path("/dev/shm").exists()
    assert detect(Nvml(FakeNvml([])), environ={}).disk_free is None


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
