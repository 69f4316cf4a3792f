"""Runs without `run.json`, started by torchrun or from Python, are runs all the same."""

import json
import os
import time
from pathlib import Path

import pytest

from engine.events import EventWriter, Metric, Status
from rftui.runs.listing import list_runs
from rftui.runs.rundir import find, names
from rftui.runs.view import present_status


@pytest.fixture
def events(tmp_path: Path) -> EventWriter:
    return EventWriter(tmp_path / "mine" / "events" / "rank-00000.jsonl", rank=0, world_size=2)


@pytest.mark.parametrize("end", ["finished", "stopped"])
def test_the_end_is_read_from_the_events(events: EventWriter, end: str, tmp_path: Path) -> None:
    events.emit(Status, state="running", step=0, total_steps=7)
    events.emit(Metric, step=7, values={"reward/mean": 0.5})
    events.emit(Status, state=end, step=7, total_steps=7)
    (summary,) = list_runs(tmp_path)
    assert (summary.name, summary.status, summary.step, summary.total_steps) == ("mine", end, 7, 7)
    assert (summary.reward, summary.nproc) == (0.5, 2)
    assert find(tmp_path, "mine").read_info().steps == 7


def test_a_recorded_error_is_a_failure(events: EventWriter, tmp_path: Path) -> None:
    events.emit(Status, state="running", step=0, total_steps=7)
    (tmp_path / "mine" / "errors").mkdir()
    (tmp_path / "mine" / "errors" / "rank-00001.json").write_text(json.dumps({"rank": 1}))
    assert find(tmp_path, "mine").read_info().status == "failed"


def test_alive_while_it_is_heard_of_then_lost(events: EventWriter, tmp_path: Path) -> None:
    events.emit(Status, state="running", step=0, total_steps=7)
    run = find(tmp_path, "mine")
    assert present_status(run) == "running"
    old = time.time() - 3600
    path = tmp_path / "mine" / "events" / "rank-00000.jsonl"
    path.write_text(
        "".join(json.dumps(json.loads(e) | {"t": old}) + "\n" for e in path.read_text().splitlines())
    )
    os.utime(path, (old, old))
    assert present_status(run) == "lost"


def test_other_folders_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert names(tmp_path) == []
