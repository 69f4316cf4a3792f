"""Ranks that do not come, and groups that connect the wrong ones, are named within `nccl_timeout`."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from engine.failure import RankError
from engine.findings import Finding
from tests.engine.programs.groups import TIMEOUT_S
from tests.engine.ranks import REPOSITORY, run_ranks

PROGRAM = Path(__file__).parents[1] / "programs" / "groups.py"
pytestmark = [pytest.mark.dist, pytest.mark.slow]


def findings(run_dir: Path) -> dict[int, Finding]:
    """The finding of each rank that recorded one."""
    records = [
        msgspec.json.decode(file.read_bytes(), type=RankError)
        for file in sorted((run_dir / "errors").glob("rank-*.json"))
    ]
    return {record.rank: record.findings[0] for record in records if record.findings}


@pytest.mark.parametrize("mode", ["sleep", "exit"])
def test_a_rank_that_never_comes_is_named(tmp_path: Path, mode: str) -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError):
        run_ranks(PROGRAM, tmp_path, mode, 2, nproc=4)
    assert (
        time.monotonic() - started < TIMEOUT_S + 40
    )  # not the 60 s of the one that sleeps, nor half an hour
    found = findings(tmp_path)
    assert found and 2 not in found
    for finding in found.values():
        assert finding.id == "parallel.rank-missing"
        assert finding.cause.startswith(f"Rank 2 did not come within {TIMEOUT_S} s")


def test_a_rank_that_is_gone_when_groups_are_tried_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_ranks(PROGRAM, tmp_path, "leave_after_start", 1, nproc=4)
    found = findings(tmp_path)
    assert found and all("Rank 1 did not come" in finding.cause for finding in found.values())


def test_every_group_is_tried_out_and_waits_no_longer_than_asked(tmp_path: Path) -> None:
    run_ranks(PROGRAM, tmp_path, "all_well", -1, nproc=4)
    for rank in range(4):
        trace = pickle.loads((tmp_path / "flight_recorder" / f"rank_{rank}").read_bytes())
        tried = {e["process_group"][0] for e in trace["entries"] if e["profiling_name"] == "gloo:all_gather"}
        assert len(tried) == 4  # world, tensor, replicate, shard
        assert {e["timeout_ms"] for e in trace["entries"][-2:]} == {TIMEOUT_S * 1000}
        assert {e["profiling_name"] for e in trace["entries"][-2:]} == {"gloo:all_reduce"}


def test_a_group_that_brings_another_rank_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_ranks(PROGRAM, tmp_path, "wrong_number", 3, nproc=4)
    found = findings(tmp_path)
    assert found and set(found) <= {2, 3}
    for finding in found.values():
        assert finding.id == "parallel.group-wrong" and "ranks 2, 3" in finding.cause
        assert "it brings 2, 7" in finding.cause


def test_a_rank_that_meets_nobody_is_told(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "9",
    }
    result = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), "all_well", "-1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert "parallel.rank-missing" in result.stderr and "127.0.0.1:9" in result.stderr
