"""Memory peaks per phase, also where phases nest; real allocations of this process."""

import sys
from pathlib import Path

import pytest
import torch

from engine.events import Memory
from engine.telemetry import Telemetry
from tests.engine.training import read_events

MIB = 1 << 20
BLOCK = 256 * MIB


def allocate_and_free() -> None:
    torch.ones(BLOCK, dtype=torch.uint8)


@pytest.mark.skipif(sys.platform != "linux", reason="the mark can be reset on Linux only")
def test_a_peak_counts_for_its_phase_and_those_around_it(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    with telemetry.phase("outer"):
        allocate_and_free()
        with telemetry.phase("quiet"):
            pass
    with telemetry.phase("around"):
        with telemetry.phase("high"):
            allocate_and_free()
        with telemetry.phase("low"):
            pass
    with telemetry.phase("after"):
        pass
    telemetry.close()
    above = {e.phase: e.rss_peak - e.rss for e in read_events(tmp_path) if isinstance(e, Memory)}
    high = {name for name, value in above.items() if value > BLOCK * 0.9}
    assert high == {"outer", "high", "around"}
    assert all(value < BLOCK * 0.1 for name, value in above.items() if name not in high)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_peaks_nest_as_well(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cuda", 0))
    with telemetry.phase("around"):
        with telemetry.phase("high"):
            torch.ones(BLOCK, dtype=torch.uint8, device="cuda")
        with telemetry.phase("low"):
            pass
    telemetry.close()
    peaks = {e.phase: e.peak - e.allocated for e in read_events(tmp_path) if isinstance(e, Memory)}
    assert peaks["high"] >= BLOCK and peaks["around"] >= BLOCK and peaks["low"] < BLOCK


def test_a_phase_that_raises_leaves_the_marks_in_order(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    with pytest.raises(KeyError), telemetry.phase("outer"), telemetry.phase("inner"):
        raise KeyError
    with telemetry.phase("next"):
        pass
    telemetry.close()
    assert [e.phase for e in read_events(tmp_path) if isinstance(e, Memory)] == ["next"]
