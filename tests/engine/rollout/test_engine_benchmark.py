"""The benchmark against TRL runs and reports as documented; how fast it is depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_benchmark_runs_both_sides_and_ends_in_one_json_line() -> None:
    pytest.importorskip("trl")
    command = [sys.executable, str(ROOT / "benchmarks" / "engine.py"), "--quick"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    result = json.loads(lines[-1])
    assert result["ratio"]["hf"] > 0
    for side in ("hf", "trl"):
        seconds = result["seconds"][side]
        assert 0 < seconds["rollout"]["min"] < seconds["step"]["min"]
