"""Where the other ranks were, read from the ends of their event files."""

import time
from pathlib import Path

from engine.events import EventWriter, Heartbeat, Phase
from engine.health.peers import elsewhere, place_of


def writer(run_dir: Path, rank: int) -> EventWriter:
    return EventWriter(run_dir / "events" / f"rank-{rank:05d}.jsonl", rank=rank)


def test_ranks_elsewhere_silent_or_never_seen_are_told(tmp_path: Path) -> None:
    for rank, name, state in ((0, "update", "begin"), (1, "reward", "begin"), (2, "update", "begin")):
        out = writer(tmp_path, rank)
        out.emit(Phase, step=2, name="rollout", state="end", seconds=1.0)
        out.emit(Phase, step=3, name=name, state=state)
    ended = writer(tmp_path, 4)
    ended.emit(Phase, step=3, name="logprob", state="end")
    silent = writer(tmp_path, 5)
    silent.write(Phase(t=time.time() - 100, rank=5, step=3, name="update", state="begin"))
    silent.write(Heartbeat(t=time.time() - 40, rank=5, step=3, phase="update"))
    assert elsewhere(tmp_path, 0, 6) == {
        1: "is in phase reward of step 3",
        3: "has written no event",
        4: "is after phase logprob of step 3",
        5: "is in phase update of step 3, silent for 40 s",
    }


def test_only_the_end_of_a_long_file_is_read_and_torn_lines_are_passed_over(tmp_path: Path) -> None:
    for rank in (0, 1):
        out = writer(tmp_path, rank)
        for step in range(2000):
            out.emit(Phase, step=step, name="update", state="begin")
    with out.path.open("a") as file:
        file.write('{"kind":"phase","step":2000,"na')
    assert elsewhere(tmp_path, 0, 2) == {}


def test_a_rank_that_is_long_in_one_phase_is_known_by_its_heartbeats(tmp_path: Path) -> None:
    out = writer(tmp_path, 0)
    out.emit(Phase, step=3, name="reward", state="begin")
    for _ in range(400):
        out.emit(Heartbeat, step=3, phase="reward", group="world", op="all_reduce", seq=7)
    place = place_of(tmp_path, 0)
    assert place is not None and place.words(place.t) == "in phase reward of step 3"
    assert place.heartbeat is not None and place.heartbeat.seq == 7


def test_what_an_earlier_attempt_left_is_not_where_the_rank_is(tmp_path: Path) -> None:
    writer(tmp_path, 0).emit(Phase, step=9, name="update", state="begin")
    writer(tmp_path, 0)
    assert place_of(tmp_path, 0) is None
