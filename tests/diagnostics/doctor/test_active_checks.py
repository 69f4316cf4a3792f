"""Ranks that add, send and tell the time: recorded outcomes, and real ranks over gloo on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from diagnostics.doctor.checks.active import CHECKS
from diagnostics.doctor.host import Ran
from diagnostics.doctor.recorded import Recorded
from diagnostics.doctor.runner import run_check
from diagnostics.doctor.this_host import ThisHost
from tests.diagnostics.doctor.judged import MACHINE, answered, assert_found, hardware, judge

PROBE = "/venv/bin/python -m diagnostics.doctor.probes.collective"
GPUS = MACHINE.but(hardware=hardware(4))
NODES = GPUS.but(environ={"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29501"})


def rank(number: int, stage: str = "done", **more: Any) -> dict[str, Any]:
    fields = {"backend": "nccl", "device": f"cuda:{number}", "wrong_sums": 0, "bytes_per_second": 2e11}
    return {"rank": number, "node": 0, "host": "node7", "pid": 9, "stage": stage, **fields, **more}


def outcome(*ranks: dict[str, Any], expected: int = 2, seconds: float = 9.0, on: Recorded = GPUS) -> Recorded:
    ran = answered(expected=expected, code=0, seconds=seconds, ranks=list(ranks), tail=["RuntimeError: x"])
    several = " 2 1 node0 29501" if on is NODES else ""
    return on.but(runs={f"{PROBE} {expected}{several}": ran})


def all_of(**last: Any) -> Recorded:
    """Four ranks, the last of which differs."""
    return outcome(*(rank(i) for i in range(3)), rank(3, **last), expected=4)


def clocks(apart: float) -> Recorded:
    told = [[0, "node0", 100.0], [0, "node0", 100.0], [1, "node7", 100.0 + apart]]
    return outcome(*(rank(4 + i, node=1, clocks=told) for i in range(4)), expected=4, on=NODES)


GOOD = {
    "comm.pair": outcome(rank(0), rank(1)),
    "comm.all": all_of(),
    "gpu.ipc": outcome(rank(0), rank(1)),
    "host.clock": clocks(0.3),
}
BAD = [
    (
        "comm.pair",
        outcome(rank(0, "joining", error="DistBackendError: timed out"), rank(1, "starting", device="")),
        "error",
        ("rank 1 did not start within 9 s, and rank 0 waited", "NCCL_DEBUG=INFO", "NCCL_P2P_DISABLE=1"),
    ),
    (
        "comm.pair",
        outcome(rank(0, "joining")),
        "error",
        ("rank 1 did not start", "rank 1 (no device yet): absent"),
    ),
    (
        "comm.pair",
        outcome(rank(0, "adding"), rank(1, "adding"), seconds=60.0),
        "error",
        ("no rank got beyond 'adding' within 60 s: nobody is behind", "NCCL_SOCKET_IFNAME"),
    ),
    (
        "comm.pair",
        outcome(rank(0, "joining"), rank(1, "joining", error="OutOfMemoryError: 2 GiB")),
        "error",
        ("rank 1 failed at 'joining': OutOfMemoryError: 2 GiB",),
    ),
    (
        "comm.pair",
        outcome(rank(0), rank(1, bytes_per_second=4e8)),
        "warning",
        ("2 ranks over nccl add right, 0.40 GB/s", "nvidia-smi topo -m"),
    ),
    (
        "comm.all",
        all_of(wrong_sums=12),
        "error",
        ("wrong on rank 3", "rank 3 (cuda:3): 12 wrong elements", "dcgmi diag"),
    ),
    ("comm.all", all_of(stage="adding"), "error", ("rank 3 stayed at 'adding' within 9 s",)),
    (
        "gpu.ipc",
        outcome(rank(0, "passing on"), rank(1, "passing on")),
        "error",
        ("do not send them to each other", "ACS", "export NCCL_P2P_DISABLE=1"),
    ),
    ("gpu.ipc", outcome(rank(0), rank(1, wrong_passed=7)), "error", ("arrives damaged on rank 1", "7 wrong")),
    ("host.clock", clocks(7.5), "warning", ("7.5 s apart", "node0 is the slowest", "chronyd")),
]


def test_no_check_is_without_a_good_and_a_bad_host():
    ids = {check.id for check in CHECKS}
    assert ids == GOOD.keys() == {id for id, *_ in BAD}


@pytest.mark.parametrize("id", GOOD)
def test_a_good_host_passes(id: str):
    result = judge(CHECKS, id, GOOD[id])
    assert result.status == "ok", result


@pytest.mark.parametrize(("id", "recorded", "severity", "words"), BAD)
def test_a_bad_host_is_told_what_to_do(id: str, recorded: Recorded, severity: str, words: tuple[str, ...]):
    assert_found(judge(CHECKS, id, recorded), severity, *words)


def test_what_does_not_apply_is_no_pass():
    one = MACHINE.but(hardware=hardware(1))
    assert [judge(CHECKS, check.id, one).status for check in CHECKS] == ["not-applicable"] * 4


def test_a_probe_that_dies_and_a_machine_without_a_place_are_not_checked():
    died = GPUS.but(runs={f"{PROBE} 2": Ran(1, "", "MemoryError\n")})
    assert judge(CHECKS, "comm.pair", died).said.endswith("ended with exit code 1: MemoryError")
    nowhere = judge(CHECKS, "comm.all", GPUS.but(environ={"NNODES": "2"}))
    assert nowhere.status == "unchecked" and "NODE_RANK=0…1" in nowhere.said


@pytest.mark.dist
def test_two_real_ranks_add_over_gloo(tmp_path: Path):
    result = run_check(CHECKS[0], ThisHost(tmp_path))
    assert result.status == "ok", result
    assert "2 ranks over gloo add right" in result.said or "nccl" in result.said


@pytest.mark.dist
def test_two_machines_add_and_compare_their_clocks():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    machines = [start("1", "2", node, "127.0.0.1", port) for node in ("0", "1")]
    ranks = [seen["ranks"][0] for seen in map(finish, machines)]
    assert [r["rank"] for r in ranks] == [0, 1]
    assert all(r["stage"] == "done" and r["wrong_sums"] == r["wrong_passed"] == 0 for r in ranks)
    assert [node for node, _, _ in ranks[0]["clocks"]] == [0, 1]
    assert abs(ranks[0]["clocks"][0][2] - ranks[0]["clocks"][1][2]) < 2.0


@pytest.mark.dist
@pytest.mark.slow
def test_a_real_rank_that_stands_still_is_named_and_does_not_stay(tmp_path: Path):
    process = start("2", folder=tmp_path)
    said = wait_for(tmp_path, rank=1)
    os.kill(said["pid"], signal.SIGSTOP)
    seen = finish(process)
    recorded = MACHINE.but(runs={f"{PROBE} 2": Ran(0, json.dumps(seen))})
    assert_found(judge(CHECKS, "comm.pair", recorded), "error", "rank 1 did not start", "rank 0 waited")
    assert seen["seconds"] < 40
    with pytest.raises(ProcessLookupError):
        os.kill(said["pid"], 0)


def start(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    """The probe as the doctor starts it; its own folder lies in `folder`."""
    environ = {**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    environ["TMPDIR"] = str(folder or tempfile.gettempdir())
    argv = [sys.executable, "-m", "diagnostics.doctor.probes.collective", *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    seen: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return seen


def wait_for(folder: Path, rank: int) -> dict[str, Any]:
    """What a rank says of itself first."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in folder.glob(f"rft-doctor-*/rank-{rank}.json"):
            said: dict[str, Any] = json.loads(path.read_text())
            return said
        time.sleep(0.01)
    raise AssertionError(f"rank {rank} did not start")
