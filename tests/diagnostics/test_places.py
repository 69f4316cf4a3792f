"""Places: machines in words, and machines as NVML shows them."""

import getpass
import os
from dataclasses import replace

import msgspec
import pytest

from diagnostics.hardware import Hardware, detect
from diagnostics.nvml import Nvml
from diagnostics.places import assumed_of_place, described_place, detected_place
from engine.findings import Finding, FindingsError
from engine.footprint.devices import GIB, find_device
from engine.footprint.job import Place
from tests.diagnostics.fake_nvml import (
    A100,
    H100,
    MIB,
    RTX4090,
    FakeGpu,
    FakeNvml,
    eight_h100,
    in_slices,
    mixed_cards,
    shared,
)


def test_described_machines_have_their_devices_and_links() -> None:
    place = described_place("8xA100-80")
    assert (place.ranks, place.ranks_per_node, place.nodes, place.island) == (8, 8, 1, 8)
    assert place.device == find_device("A100-80") and place.free == place.device.memory
    two = described_place("4xH200", nodes=2, host_memory=2**40)
    assert (two.ranks, two.ranks_per_node, two.nodes, two.island) == (8, 4, 2, 4)
    assert two.host_memory == 2**40 and two.node_link == 50e9
    assert described_place("4xRTX4090").island == 1
    assert described_place("A100-80") == described_place("1xA100-80")
    assert described_place("8 x NVIDIA H100 80GB HBM3") == described_place("8xH100")
    assert described_place("4x24GB").device.peak is None


def test_what_a_description_leaves_open_is_assumed_and_said() -> None:
    assumed = assumed_of_place("8xA100")
    assert [f.id for f in assumed] == ["hardware.gpu-assumed", "hardware.host-assumed"]
    assert {f.severity for f in assumed} == {"info"} and "1266 GiB of RAM" in assumed[1].cause
    assert described_place("8xA100").host_memory == 2 * 8 * described_place("8xA100").device.memory
    assert assumed_of_place("8xH100", host_memory=2**40) == []


@pytest.mark.parametrize(
    ("text", "nodes", "id", "hint"),
    [
        ("", 1, "hardware.gpus-malformed", "8xA100-80"),
        ("0xA100", 1, "hardware.gpus-malformed", "8xA100-80"),
        ("8xA100,4xH100", 1, "hardware.gpus-malformed", "8xA100-80"),
        ("A100x8", 1, "hardware.gpus-malformed", "write 8xA100"),
        ("64xH100", 1, "hardware.gpus-malformed", "8xH100 on 8 machines"),
        ("8xH100", 0, "hardware.gpus-malformed", "1 or more"),
        ("8xH300", 1, "hardware.unknown-gpu", "H200"),
        ("8x", 1, "hardware.unknown-gpu", "unknown-24"),
    ],
)
def test_a_bad_description_is_a_finding_with_the_way_out(text: str, nodes: int, id: str, hint: str) -> None:
    with pytest.raises(FindingsError) as raised:
        described_place(text, nodes)
    (finding,) = raised.value.findings
    assert finding.id == id and any(hint in fix.text for fix in finding.fixes)


def test_a_machine_without_gpu_shares_its_memory_among_ranks() -> None:
    hardware = Hardware("h", cores=16, memory_total=64 * GIB, memory_available=60 * GIB, disk_free=GIB)
    place, findings = detected_place(hardware, nproc=4)
    assert findings == [] and place.on_cpu and place.ranks == 4
    assert (place.free, place.host_memory, place.disk_free) == (15 * GIB, 60 * GIB, GIB)
    assert (place.device.peak, place.device.bandwidth) == (None, None)
    assert detected_place(hardware)[0].ranks == 1


def test_a_healthy_machine_is_planned_whole_and_nothing_is_said() -> None:
    place, findings = _detected(eight_h100())
    assert findings == []
    assert (place.ranks, place.island, place.nodes) == (8, 8, 1)
    assert place.device == replace(find_device("H100"), memory=(81559 - 560) * MIB)
    assert place.free == (81559 - 560 - 4) * MIB
    assert _detected(eight_h100(), nproc=2)[0].island == 2


def test_a_shared_gpu_is_planned_with_what_is_free_and_its_holder_is_named() -> None:
    place, findings = _detected(shared(os.getpid()))
    assert place.free == (81559 - 560 - 31_204) * MIB
    (finding,) = findings
    assert (finding.id, finding.severity) == ("hardware.gpu-shared", "warning")
    (line,) = finding.evidence
    assert line.startswith(f"GPU 2: pid {os.getpid()}, user {getpass.getuser()}, ") and "31,204 MiB" in line
    assert finding.fixes[1].command.endswith("CUDA_VISIBLE_DEVICES=0,1,3")


def test_memory_held_by_invisible_processes_is_noticed() -> None:
    (finding,) = _detected(FakeNvml([H100, replace(H100, used=9000)]))[1]
    assert finding.evidence == ("GPU 1: 9,000 MiB by processes that are not visible from here",)


def test_unlike_gpus_are_planned_as_the_smallest_and_slowest() -> None:
    place, findings = _detected(mixed_cards())
    assert (place.device.name, place.island) == ("RTX4090", 1)
    assert (place.device.peak, place.device.bandwidth) == (165e12, 1.01e12)
    (finding,) = findings
    assert finding.id == "hardware.gpus-unlike" and len(finding.evidence) == 3
    assert finding.fixes[0].command.endswith("CUDA_VISIBLE_DEVICES=0,2")


def test_a_mig_slice_is_planned_alone_and_with_its_memory() -> None:
    visible = {"CUDA_VISIBLE_DEVICES": "MIG-aa11"}
    place, (finding,) = _detected(in_slices(), environ=visible)
    assert (place.ranks, place.island, place.free) == (1, 1, (40448 - 100) * MIB)
    assert place.device.memory == 40448 * MIB and place.device.peak is None
    assert (finding.id, finding.severity) == ("hardware.mig", "info")
    _, (finding,) = _detected(in_slices(), nproc=2, environ=visible)
    assert finding.severity == "warning" and finding.fixes[0].set == {"parallel.nproc": 1}


def test_a_shared_slice_names_who_is_in_it() -> None:
    def said(uuid: str) -> list[str]:
        machine = in_slices((2**22 + 1, 5000))
        return [finding.id for finding in _detected(machine, environ={"CUDA_VISIBLE_DEVICES": uuid})[1]]

    assert said("MIG-aa11") == ["hardware.mig", "hardware.gpu-shared"]
    assert said("MIG-bb22") == ["hardware.mig"]


def test_more_ranks_than_gpus_share_them() -> None:
    place, (finding,) = _detected(FakeNvml([H100] * 2), nproc=4)
    assert place.ranks == 4 and place.free == (81559 - 560 - 4) * MIB // 2
    assert finding.id == "hardware.too-few-gpus" and finding.fixes[0].set == {"parallel.nproc": 2}


@pytest.mark.parametrize(
    ("peers", "island", "command"),
    [
        ([(1,), (0,), (3,), (2,)], 2, None),
        ([(2,), (3,), (0,), (1,)], 1, "CUDA_VISIBLE_DEVICES=0,2,1,3"),
        ([(1, 2), (0, 2), (0, 1), ()], 1, "CUDA_VISIBLE_DEVICES=0,1,2"),
    ],
)
def test_tensor_parallel_may_use_only_neighbours_that_nvlink_joins(
    peers: list[tuple[int, ...]], island: int, command: str | None
) -> None:
    gpus = [
        replace(A100, switch=False, peers=ends, nvlinks=4 if ends else 0, inactive_links=0) for ends in peers
    ]
    place, findings = _detected(FakeNvml(gpus))
    assert place.island == island and place.device.nvlink == (island > 1)
    assert [finding.fixes[0].command.split()[-1] for finding in findings] == ([command] if command else [])


@pytest.mark.parametrize("links", [None, 0])
def test_nvlink_that_should_be_there_is_missed(links: int | None) -> None:
    place, (finding,) = _detected(FakeNvml([replace(H100, nvlinks=links)] * 2))
    assert finding.id == "hardware.no-nvlink" and place.island == 1
    assert not place.device.nvlink and place.device.link == 64e9


def test_bridged_cards_have_the_speed_of_their_links() -> None:
    bridged = replace(RTX4090, name="NVIDIA RTX A6000", nvlinks=4, switch=False, total=49140)
    gpus = [replace(bridged, peers=(1,)), replace(bridged, peers=(0,))]
    device = _detected(FakeNvml(gpus))[0].device
    assert (device.name, device.nvlink, device.link) == ("A6000", True, 4 * 26562e6)


def test_a_gpu_outside_the_table_is_planned_by_its_memory() -> None:
    unknown = FakeGpu("NVIDIA Z9", 40960, generation=4, nvlinks=None)
    place, (finding,) = _detected(FakeNvml([unknown]))
    assert finding.id == "hardware.speed-unknown"
    assert place.device.memory == (40960 - 560) * MIB and place.device.pcie == 25e9
    assert (place.device.peak, place.device.bandwidth) == (None, None)


def test_hidden_gpus_are_said_when_the_cpu_is_planned_for() -> None:
    place, (finding,) = _detected(eight_h100(), environ={"CUDA_VISIBLE_DEVICES": ""})
    assert place.on_cpu and finding.id == "hardware.no-gpu-visible" and "8 GPUs" in finding.cause


def test_a_recorded_machine_is_planned_as_the_real_one() -> None:
    hardware = detect(Nvml(shared(os.getpid())), environ={})
    recorded = msgspec.json.decode(msgspec.json.encode(hardware), type=Hardware)
    assert recorded == hardware and detected_place(recorded) == detected_place(hardware)


def _detected(
    machine: FakeNvml, nproc: int | None = None, environ: dict[str, str] | None = None
) -> tuple[Place, list[Finding]]:
    return detected_place(detect(Nvml(machine), environ or {}), nproc)
