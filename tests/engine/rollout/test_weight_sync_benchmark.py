"""The benchmark of weight syncs runs, and no engine holds the model a second time while it takes weights."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.engine.ranks import REPOSITORY


@pytest.mark.slow
@pytest.mark.dist
def test_a_sync_takes_buckets_and_not_a_second_model() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "weight_sync.py"), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout.splitlines()[-1])
    engines = {"hf", "vllm"} if find_spec("vllm") else {"hf"}
    assert {row["engine"] for row in rows} == engines
    for row in rows:
        assert row["push_s"] > 0 and row["sync_s"] > 0 and row["copy_s"] > 0
        whole_mib = row["parameters"] * 4 / 1024**2
        assert row["peak_mib"] < 0.75 * whole_mib, row
