"""Sampler, machine and doctor through the real bindings: 8 and 64 GPUs, and one that gets lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.diagnostics.driver import H100, answer, needs_compiler, with_driver

pytestmark = needs_compiler
ROOT = Path(__file__).resolve().parents[2]

SAMPLE = """
import sys, pathlib
from diagnostics.hardware import detect
from diagnostics.nvml import Nvml
from diagnostics.sampler import Sampler
run, when = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
nvml = Nvml()
sampler = Sampler(run, detect(nvml, environ={}).gpus, nvml)
sampler.sample()
when.touch()
sampler.sample()
"""
DETECT = """
import msgspec
from diagnostics.hardware import detect
print(msgspec.json.encode(detect(environ={})).decode())
"""


@pytest.mark.parametrize("gpus", [8, 64])
def test_the_sampler_writes_all_gpus_and_goes_on_when_one_is_lost(tmp_path: Path, gpus: int) -> None:
    run, when = tmp_path / "run", tmp_path / "lost"
    (run / "events").mkdir(parents=True)
    answer(SAMPLE, with_driver(tmp_path, gpus, lost=5, when=when), str(run), str(when))
    (written,) = (run / "events").glob("host-*.jsonl")
    events = [json.loads(line) for line in written.read_text().splitlines()]
    seen = [event for event in events if event["kind"] == "gpu"]
    assert [event["index"] for event in seen] == [*range(gpus), *range(gpus)]
    before, after = seen[5], seen[gpus + 5]
    assert (before["name"], before["utilization"], before["power"]) == (H100, 95.0, 655.0)
    assert (before["memory_used"], before["temperature"]) == (60500 * 1024**2, 65.0)
    measured = ("utilization", "power", "temperature", "memory_used", "memory_total")
    assert all(after.get(name) is None for name in measured)
    assert seen[gpus + 6]["utilization"] == 96.0


@pytest.mark.parametrize("gpus", [8, 64])
def test_a_lost_gpu_is_absent_and_named(tmp_path: Path, gpus: int) -> None:
    machine = json.loads(answer(DETECT, with_driver(tmp_path, gpus, lost=3)))
    assert (machine["installed"], machine["unreachable"]) == (gpus, [3])
    assert [gpu["index"] for gpu in machine["gpus"]] == [index for index in range(gpus) if index != 3]
    (problem,) = machine["problems"]
    assert problem["id"] == "hardware.gpu-lost"
    assert problem["cause"].startswith("GPU 3 does not answer (GPU is lost)")


def test_the_doctor_names_the_lost_gpu_and_how_to_get_it_back(tmp_path: Path) -> None:
    script = "from rftui.cli.app import main; main()"
    environ = with_driver(tmp_path, 8, lost=3) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environ,
        cwd=tmp_path,
        check=False,
    )
    assert "GPU 3 does not answer (GPU is lost)" in done.stdout, done.stdout + done.stderr
    assert "nvidia-smi --gpu-reset -i 3" in done.stdout
