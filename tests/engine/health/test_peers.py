"""Where the other ranks were, read from the ends of their event files."""

import time
from pathlib import Path

from engine.events import EventWriter, Heartbeat, Phase
from engine.health.peers import elsewhere


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
