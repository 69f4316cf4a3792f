"""What a rank says: phases that nest and add up, memory marks, the control file, trajectories."""

import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from sqlalchemy import create_engine, text

from engine import events, failure
from engine.control import Control, requested
from engine.telemetry import Telemetry
from engine.throughput import mfu, throughput_metrics
from engine.trajectories import TrajectorySaver


def test_phases_are_timed_and_written_in_order(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    telemetry.step = 3
    with telemetry.phase("rollout"):
        time.sleep(0.02)
    with telemetry.phase("rollout"):
        time.sleep(0.02)
    seconds = telemetry.take_seconds()
    telemetry.close()
    assert 0.04 <= seconds["rollout"] < 0.4
    assert telemetry.take_seconds() == {}
    lines = (tmp_path / "events" / "rank-00000.jsonl").read_bytes()
    read = msgspec.json.Decoder(events.AnyEvent).decode_lines(lines)
    assert [type(e) for e in read[1:]] == [events.Phase, events.Phase, events.Memory] * 2
    assert all(e.step == 3 for e in read[1:])
    assert read[3].rss > 1_000_000


def test_a_phase_that_raises_restores_the_outer_one(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    try:
        with telemetry.phase("update"):
            raise KeyError
    except KeyError:
        pass
    assert telemetry.phase_name == "start"
    telemetry.close()


def test_a_request_is_seen_only_when_complete(tmp_path: Path) -> None:
    assert requested(tmp_path) is None
    control = tmp_path / "control.json"
    control.write_text('{"action": "st')
    assert requested(tmp_path) is None
    control.write_text('{"action": "stop", "t": 1.5, "by": "someone"}')
    assert requested(tmp_path) == Control("stop", 1.5)


def test_trajectories_survive_and_forget(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trajectories.db'}"
    saver = TrajectorySaver(url)
    for step in (1, 2, 3):
        saver.save([row(step), row(step)])
    saver.save([])
    saver.forget_after(2)
    saver.close()
    with create_engine(url).connect() as connection:
        counts = connection.execute(text("select step, count(*) from trajectories group by step")).all()
    assert counts == [(1, 2), (2, 2)]


def row(step: int) -> dict[str, object]:
    return {
        "step": step,
        "prompt_index": 0,
        "sample": 0,
        "prompt": "p",
        "response": "r",
        "label": "l",
        "reward": 1.0,
        "reward_parts": {"exact": 1.0},
        "advantage": 0.5,
        "response_tokens": 1,
        "truncated": False,
        "logprob_diff": 0.0,
    }


def test_rates() -> None:
    values = {"time/step": 2.0, "time/rollout": 0.5, "time/update": 1.0}
    totals = {
        "samples": 16.0,
        "response_tokens": 100.0,
        "tokens": 300.0,
        "trained_tokens": 600.0,
        "forwarded_tokens": 500.0,
    }
    metrics = throughput_metrics({**values, **totals}, 10, 2, "cpu")
    assert metrics["throughput/samples_per_s"] == 8
    assert metrics["throughput/tokens_per_s"] == 50
    assert metrics["throughput/rollout_tokens_per_s"] == 200
    assert metrics["throughput/update_tokens_per_s"] == 600  # two epochs
    assert "throughput/mfu" not in metrics
    assert "samples" not in metrics


def test_mfu_is_known_only_for_known_devices() -> None:
    for unknown in ("Some new chip", "NVIDIA RTX A1000 Laptop GPU", "NVIDIA RTX A4000", "NVIDIA L40G"):
        assert mfu(10**9, 1000, 1.0, unknown) is None
    assert mfu(10**9, 1000, 1.0, "NVIDIA A100-SXM4-80GB") == 6e12 / 312e12
    assert mfu(10**9, 1000, 1.0, "NVIDIA A100-SXM4-80GB", frozen=True) == 4e12 / 312e12
    assert mfu(10**9, 98_900, 2.0, "NVIDIA H200") == 6e9 * 98_900 / 2 / 989e12


def test_a_failure_is_recorded_where_nothing_can_be_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert failure.report(ValueError("too long"), tmp_path) == 1
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    record = msgspec.json.decode((tmp_path / "errors" / "rank-00000.json").read_bytes())
    assert (record["type"], record["message"]) == ("ValueError", "too long")
