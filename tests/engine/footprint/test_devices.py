"""The table of devices: how names are read, and that its figures are whole."""

import itertools

import pytest

from engine.findings import FindingsError
from engine.footprint.devices import GIB, assumed_of_name, devices, find_device, known_device


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("A100-80", "A100-80"),
        ("a100-80gb", "A100-80"),
        ("A100-40G", "A100-40"),
        ("NVIDIA A100-SXM4-80GB", "A100-80"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIe-80"),
        ("NVIDIA A100-PCIE-40GB", "A100-PCIe-40"),
        ("NVIDIA A800-SXM4-80GB", "A800-80"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H20", "H20"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", "L40"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("rtx4090", "RTX4090"),
        ("4090", "RTX4090"),
        ("NVIDIA RTX A6000", "A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000"),
        ("Tesla V100-SXM2-32GB", "V100-32"),
        ("Tesla V100-PCIE-16GB", "V100-PCIe-16"),
        ("Tesla T4", "T4"),
    ],
)
def test_names_of_planners_and_of_cuda_are_read(name: str, device: str) -> None:
    assert find_device(name).name == device
    assert known_device(name) == find_device(name)
    assert assumed_of_name(name) == []


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA RTX A1000",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA H20-3e",
        "NVIDIA L20X",
        "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "A100-60",
        "H300",
        "24",
        "unknown",
    ],
)
def test_every_word_of_a_name_counts(name: str) -> None:
    assert known_device(name) is None
    with pytest.raises(FindingsError) as raised:
        find_device(name)
    assert [finding.id for finding in raised.value.findings] == ["hardware.unknown-gpu"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("H300", "H200"), ("rtx 4900", "RTX4090"), ("A100-60", "A100-80"), ("NVIDIA L40S-48Q", "L40S")],
)
def test_nearest_names_are_suggested(name: str, near: str) -> None:
    with pytest.raises(FindingsError) as raised:
        find_device(name)
    fixes = [fix.text for fix in raised.value.findings[0].fixes]
    assert f"did you mean {near}?" in fixes and "unknown-24" in fixes[-1]


def test_a_name_with_two_meanings_says_which_is_assumed() -> None:
    (finding,) = assumed_of_name("A100")
    assert (finding.id, finding.severity) == ("hardware.gpu-assumed", "info")
    assert find_device("A100").name == "A100-80" and "A100-40" in finding.cause
    assert [f.id for f in assumed_of_name("V100")] == ["hardware.gpu-assumed"]


def test_a_device_of_known_memory_only_has_no_speeds() -> None:
    for name in ("unknown-24", "24GB", "24gb", "unknown-24GB"):
        device = find_device(name)
        assert 23.5 * GIB < device.memory < 23.6 * GIB
        assert (device.bandwidth, device.peak, device.link) == (None, None, None)
        assert [f.id for f in assumed_of_name(name)] == ["hardware.speed-unknown"]
    assert find_device("23.5GiB").memory == int(23.5 * GIB)


def test_every_row_is_found_by_its_own_name_and_is_plausible() -> None:
    for device in devices():
        assert find_device(device.name) == device
        assert device.bandwidth and device.peak and device.link
        assert 0.2e12 < device.bandwidth < 10e12 and 50e12 < device.peak < 3000e12
        assert device.peak_fp8 is None or 1.9 < device.peak_fp8 / device.peak < 2.1
        assert device.nvlink == (device.link > 100e9)


def test_an_80_gb_card_has_what_torch_sees_of_it() -> None:
    memory = {device.name: device.memory / GIB for device in devices()}
    assert all(79.0 <= memory[name] <= 79.6 for name in ("A100-80", "A800-80", "H100", "H800"))
    names = [device.name for device in devices()]
    assert all(a != b for a, b in itertools.pairwise(sorted(names)))
