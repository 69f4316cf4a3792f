"""One rank fails while others wait for it: the run ends soon, with its traceback as the cause.

Real ranks of the real engine, under plain torchrun and under the supervisor; a thread of our own that fails.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.config.load import dump_resolved, layer_from_sets, resolve
from engine.events import Header
from engine.failure import RankError
from rftui.launch.supervisor import Supervisor
from rftui.runs.info import RunInfo
from rftui.runs.rundir import RunDir, create
from tests.engine.tiny import save_tiny_model
from tests.engine.training import read_events, started, wait_for_step

RANKS = 4
FAILING = 2
WITHIN_S = 15
REWARD = """
import os, pathlib, time

calls = 0

def score(responses, labels):
    global calls
    calls += 1
    if calls > 1 and os.environ["RANK"] == "FAILING":
        if "MODE" == "hang":
            time.sleep(600)
        pathlib.Path(__file__).with_name("raised").write_text(str(time.time()))
        raise ValueError("no idea how to score this")
    return [float(len(r) % 2) for r in responses]
"""


def settings(folder: Path, mode: str) -> dict[str, object]:
    """A small run whose reward function raises, or hangs, in the second step on one rank."""
    (folder / "reward.py").write_text(REWARD.replace("FAILING", str(FAILING)).replace("MODE", mode))
    lines = [json.dumps({"input": str(i), "label": "10"}) for i in range(32)]
    (folder / "data.jsonl").write_text("\n".join(lines))
    return {
        "model.pretrain": str(save_tiny_model(folder / "model")),
        "model.bf16": False,
        "data.prompt_data": str(folder / "data.jsonl"),
        "batch.rollout_batch_size": 4,
        "batch.n_samples_per_prompt": 2,
        "batch.train_batch_size": 8,
        "batch.micro_train_batch_size": 2,
        "rollout.engine_type": "hf",
        "rollout.max_len": 24,
        "rollout.prompt_max_len": 16,
        "reward.reward_fn": f"{folder / 'reward.py'}:score",
        "optim.max_steps": 100,
        "checkpoint.save_interval": 0,
    }


def flags(folder: Path, mode: str) -> list[str]:
    return [f"--{name.split('.')[1]}={value}" for name, value in settings(folder, mode).items()]


def seconds_since_raised(folder: Path, ended: float) -> float:
    return ended - float((folder / "raised").read_text())


@pytest.mark.dist
@pytest.mark.slow
def test_torchrun_ends_soon_with_the_traceback_of_the_rank_that_failed(tmp_path: Path) -> None:
    with started(tmp_path / "run", *flags(tmp_path, "raise"), nproc=RANKS) as process:
        output, _ = process.communicate(timeout=240)
        took = seconds_since_raised(tmp_path, time.time())
    print(f"ended {took:.1f} s after the exception")
    assert process.returncode != 0 and took < WITHIN_S, output
    errors = [
        msgspec.json.decode(file.read_bytes(), type=RankError)
        for file in (tmp_path / "run" / "errors").glob("rank-*.json")
    ]
    first = min(errors, key=lambda error: error.t)
    assert first.rank == FAILING and "in score" in first.traceback
    assert "no idea how to score this" in first.traceback
    assert (tmp_path / "run" / "flight_recorder" / f"rank_{FAILING}").is_file()


@pytest.mark.dist
@pytest.mark.slow
def test_the_supervisor_records_the_rank_that_failed(tmp_path: Path) -> None:
    run = launched(tmp_path, "raise")
    assert Supervisor(run).run() == 2  # a reward function that raises is a finding
    took = seconds_since_raised(tmp_path, time.time())
    print(f"ended {took:.1f} s after the exception")
    assert took < WITHIN_S
    info = run.read_info()
    assert info.status == "failed" and info.exit is not None
    assert info.exit.cause.startswith(f"rank {FAILING}: exit code 2: ")
    assert "no idea how to score this" in info.exit.cause


def launched(folder: Path, mode: str) -> RunDir:
    run = create(folder, "run")
    sets = layer_from_sets([f"{name}={value}" for name, value in settings(folder, mode).items()])
    run.config_path.write_text(dump_resolved(resolve([sets])))
    run.write_info(RunInfo(name=run.name, status="planned", created=time.time(), nproc=RANKS))
    return run


@pytest.mark.dist
@pytest.mark.slow
def test_a_rank_that_hangs_tells_where_on_sigusr1(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with started(run_dir, *flags(tmp_path, "hang"), nproc=RANKS) as process:
        wait_for_step(run_dir, 1, process)
        time.sleep(2)
        for rank in range(RANKS):
            header = read_events(run_dir, rank)[0]
            assert isinstance(header, Header)
            psutil.Process(header.pid).send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        dumps = [run_dir / "flight_recorder" / f"rank_{rank}" for rank in range(RANKS)]
        while not all(dump.is_file() for dump in dumps) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert all(dump.is_file() for dump in dumps)
        assert process.poll() is None
    stacks = [(run_dir / "stacks" / f"rank-{rank:05d}.txt").read_text() for rank in range(RANKS)]
    assert [rank for rank, text in enumerate(stacks) if "in score" in text] == [FAILING]
    assert all("in all_reduce" in text for rank, text in enumerate(stacks) if rank != FAILING)


def test_a_failing_thread_of_ours_ends_the_process(tmp_path: Path) -> None:
    program = """
import pathlib, sys, time
from engine.health.background import Background

def work():
    raise KeyError("lost")

Background(work, name="worker", run_dir=pathlib.Path(sys.argv[1])).start()
time.sleep(60)
"""
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1 and time.monotonic() - began < 30
    record = msgspec.json.decode((tmp_path / "errors" / "rank-00000.json").read_bytes(), type=RankError)
    assert record.type == "KeyError" and "in work" in record.traceback
