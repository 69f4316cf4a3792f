"""Collectives as told: numbered, added up per phase, named while in flight; who comes late is found."""

import pickle
import time
from pathlib import Path

import msgspec
import pytest
import torch

from engine.events import Collective, Heartbeat
from engine.failure import RankError
from engine.health.collective_times import CollectiveTimes
from engine.health.stragglers import straggler, waits_by_step
from engine.strategy.collectives import CollectiveError
from engine.telemetry import Telemetry
from tests.engine.programs.collectives import LATE_S, TIMEOUT_S
from tests.engine.ranks import run_ranks
from tests.engine.training import read_events

PROGRAM = Path(__file__).parents[1] / "programs" / "collectives.py"


def test_totals_and_the_one_in_flight() -> None:
    place = (1, "update")
    times = CollectiveTimes(torch.device("cpu"), lambda: place)
    assert times.last() == {}
    for size in (8, 24):
        times.begin("world", "all_reduce", size)
        time.sleep(0.01)
        times.end()
    place = (2, "sync")
    times.begin("tensor 0-1", "all_gather_objects", 0)
    assert times.last()["waiting"] >= 0
    assert (times.last()["group"], times.last()["seq"]) == ("tensor 0-1", 1)
    times.end()
    assert times.last()["waiting"] is None
    first, second = times.take()
    assert (first["step"], first["phase"], first["seq"], first["count"], first["size"]) == (
        1,
        "update",
        2,
        2,
        32,
    )
    assert 0.01 <= first["longest"] < first["seconds"] < 1
    assert (second["step"], second["phase"], second["seq"]) == (2, "sync", 1)
    assert times.take() == []


def test_heartbeat_tells_the_collective_in_flight(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, 0, 1, torch.device("cpu"))
    telemetry.heartbeat()
    telemetry.collectives.begin("world", "all_reduce", 8)
    telemetry.heartbeat()
    telemetry.collectives.end()
    telemetry.heartbeat()
    telemetry.close()
    before, during, after = [e for e in read_events(tmp_path) if isinstance(e, Heartbeat)]
    assert (before.op, before.seq, before.waiting) == ("", 0, None)
    assert (during.group, during.op, during.seq) == ("world", "all_reduce", 1)
    assert during.waiting is not None and after.waiting is None and after.seq == 1


def test_straggler_needs_others_that_wait_clearly_longer() -> None:
    assert straggler({0: 5.0}) is None
    assert straggler({0: 0.02, 1: 0.03, 2: 0.01}) is None
    found = straggler({0: 2.1, 1: 2.0, 2: 0.1, 3: 2.05})
    assert found is not None and found.rank == 2 and found.late == pytest.approx(1.95)


@pytest.mark.alone
@pytest.mark.dist
def test_the_rank_that_comes_late_is_named(tmp_path: Path) -> None:
    run_ranks(PROGRAM, tmp_path, "straggle", 2, nproc=4)
    events = [e for rank in range(4) for e in read_events(tmp_path, rank) if isinstance(e, Collective)]
    waits = waits_by_step(events)
    assert set(waits) == {(step, "world") for step in (1, 2, 3, 4)}
    for step in (1, 2, 3):
        found = straggler(waits[step, "world"])
        assert found is not None and found.rank == 2
        assert LATE_S * 0.5 < found.late < LATE_S * 3
    updates = [e for e in events if e.op == "all_reduce" and e.rank == 0]
    assert [(e.phase, e.count, e.size, e.seq) for e in updates] == [
        ("update", 4, 16_000, seq) for seq in (4, 9, 14, 19)
    ]


@pytest.mark.alone
@pytest.mark.dist
@pytest.mark.slow
def test_a_rank_that_stays_away_is_named_after_the_timeout(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError):
        run_ranks(PROGRAM, tmp_path, "stay_away", 1, nproc=3)
    assert time.monotonic() - started < TIMEOUT_S + 40
    record = msgspec.json.decode((tmp_path / "errors" / "rank-00000.json").read_bytes(), type=RankError)
    assert record.type == CollectiveError.__name__
    assert "rank 1 is in phase reward of step 7" in record.message and "rank 2" not in record.message
    seconds = float(record.message.split("all_reduce over world failed after ")[1].split(" s")[0])
    assert TIMEOUT_S - 0.5 <= seconds < TIMEOUT_S + 3
    last = pickle.loads((tmp_path / "flight_recorder" / "rank_0").read_bytes())["entries"][-1]
    assert last["profiling_name"] == "gloo:all_reduce" and last["timeout_ms"] == TIMEOUT_S * 1000
    assert any("stay_away" in frame["name"] for frame in last["frames"])
