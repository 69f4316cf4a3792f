"""The real `pynvml`: with a driver library compiled here, and against the stand-in of the other tests."""

import inspect
import json
from pathlib import Path

import pynvml

from tests.diagnostics.driver import answer, needs_compiler, with_driver
from tests.diagnostics.fake_nvml import FakeNvml

PROBE = """
import msgspec
from diagnostics.hardware import detect
print(msgspec.json.encode(detect(environ={})).decode())
"""


def test_the_stand_in_has_functions_and_numbers_of_the_real_library() -> None:
    for name in (name for name in vars(FakeNvml) if name.startswith("nvml")):
        real, fake = (inspect.signature(getattr(library, name)) for library in (pynvml, FakeNvml))
        assert len(real.parameters) == len(fake.parameters) - 1, name
    constants = [name for name in vars(FakeNvml) if name.startswith("NVML_") and "MAX" not in name]
    assert {n: getattr(FakeNvml, n) for n in constants} == {n: getattr(pynvml, n) for n in constants}


@needs_compiler
def test_answers_pass_through_the_real_bindings(tmp_path: Path) -> None:
    machine = json.loads(answer(PROBE, with_driver(tmp_path)))
    assert (machine["driver"], machine["cuda"], machine["installed"]) == ("570.86.15", "12.8", 2)
    assert machine["topology"]["islands"] == [[0, 1]]
    first, second = machine["gpus"]
    assert first["memory_free"] == 79995 * 1024**2 and first["memory_reserved"] == 560 * 1024**2
    assert first["processes"] == [
        {"pid": 4194305, "user": "?", "command": "?", "memory": 1000 * 1024**2, "gpu_instance": None},
    ]
    assert (first["power_limit"], first["power_limit_default"]) == (700.0, None)
    assert (first["clock"], first["memory_clock"], first["throttled"]) == (345, 2619, ["power limit"])
    assert (first["ecc"], first["ecc_errors"], first["mig"]) == (True, 2, False)
    assert (second["pci_bus"], first["pcie"]["generation_max"]) == ("00000000:1C:00.0", 5)
    assert (first["numa_node"], first["cpus"]) == (1, "4-7")
    assert (first["nvlinks"], first["nvswitch"], first["nvlink_speed"]) == (18, True, 18 * 26562e6)
    assert second["ecc"] is None
    (problem,) = machine["problems"]
    assert problem["evidence"] == ["GPU 1: nvmlDeviceGetEccMode: Unknown Error"]
