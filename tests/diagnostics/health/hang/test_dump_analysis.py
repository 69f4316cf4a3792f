"""Who keeps whom waiting: real recorded sets, and hand-made dumps of every case."""

import os
import time
from pathlib import Path

import pytest

from diagnostics.health.hang.dump_analysis import analyse_dumps
from diagnostics.health.hang.verdict import Verdict
from tests.diagnostics.health.hang.recorders import content, entry, write

Groups = dict[str, list[int]] | None
WORLD = {"0": [0, 1, 2, 3]}


def verdict_on(folder: Path, dumps: dict[int, object], prefix: str = "rank_") -> Verdict:
    return analyse_dumps([write(folder, dumps, prefix)])


@pytest.mark.parametrize(("name", "ranks"), [("gpu_error_1st", (12,)), ("lock_gil_1st", (9, 14))])
def test_recorded_sets_name_the_injected_ranks(shared: Path, name: str, ranks: tuple[int, ...]) -> None:
    verdict = analyse_dumps([shared / "data" / "flight_recorder" / name])
    assert (verdict.kind, verdict.ranks, verdict.cause) == ("straggler", ranks, "nccl-timeout-straggler")
    assert "EXPERT_MODEL_PARALLEL_GROUP" in verdict.said


@pytest.mark.parametrize("groups", [WORLD, None])
def test_the_rank_that_has_not_come_is_waited_for(
    tmp_path: Path, groups: dict[str, list[int]] | None
) -> None:
    ahead = content([entry(1, done=True), entry(2)], groups)
    verdict = verdict_on(
        tmp_path, dict.fromkeys(range(4), ahead) | {2: content([entry(1, done=True)], groups)}
    )
    assert (verdict.kind, verdict.ranks) == ("straggler", (2,))
    assert verdict.where == "/home/me/train.py:12 step"
    assert "Rank 2 is waited for: ranks 0, 1 and 3 wait in all_reduce of 4 Float, number 2" in verdict.said


def test_a_missing_an_empty_and_a_damaged_dump_are_told_apart(tmp_path: Path) -> None:
    waiting = content([entry(5)], WORLD)
    verdict = verdict_on(tmp_path / "missing", dict.fromkeys((0, 1, 2), waiting))
    assert verdict.ranks == (3,) and verdict.evidence[0].text == "rank 3 left no dump"
    assert verdict.confidence == "medium"
    folder = write(tmp_path / "empty", dict.fromkeys((0, 1, 2), waiting) | {3: content([], WORLD)})
    assert "no unfinished collective" in analyse_dumps([folder]).evidence[0].text
    (folder / "rank_3").write_bytes((folder / "rank_0").read_bytes()[:50])
    verdict = analyse_dumps([folder])
    assert (verdict.ranks, verdict.confidence) == ((3,), "low")
    assert any("damaged" in seen.text for seen in verdict.evidence)


def test_files_of_one_machine_of_several_do_not_blame_the_other(tmp_path: Path) -> None:
    waiting = content([entry(5)], {"0": list(range(8))})
    verdict = verdict_on(tmp_path, dict.fromkeys((0, 1, 2), waiting))
    assert verdict.kind == "straggler" and verdict.ranks == (3, 4, 5, 6, 7)
    verdict = verdict_on(tmp_path / "b", {0: content([entry(5)]), 1: content([entry(5)])})
    assert verdict.kind == "network" and verdict.ranks == ()


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        ({"profiling_name": "nccl:all_gather"}, "operation"),
        ({"input_sizes": [[5]]}, "size"),
        ({"input_dtypes": ["Half"]}, "type"),
    ],
)
def test_desync_names_the_odd_rank_and_both_call_sites(
    tmp_path: Path, odd: dict[str, object], what: str
) -> None:
    other = [{"name": "save", "filename": "/home/me/save.py", "line": 7}]
    dumps = dict.fromkeys((0, 2, 3), content([entry(3)], WORLD))
    verdict = verdict_on(tmp_path, dumps | {1: content([entry(3, **odd, frames=other)], WORLD)})
    assert (verdict.kind, verdict.ranks, verdict.cause) == ("desync", (1,), "nccl-timeout-desync")
    assert f"Ranks differ in the {what} of collective 3" in verdict.said
    assert verdict.where == "/home/me/save.py:7 save; /home/me/train.py:13 step"


def test_gloo_lets_others_pass_the_collective_that_one_did_in_another_shape(tmp_path: Path) -> None:
    passed = content([entry(3, "gloo:all_reduce", retired=True), entry(4, "gloo:all_reduce")])
    stuck = content([entry(3, "gloo:all_reduce", input_sizes=[[5]])])
    verdict = verdict_on(tmp_path, dict.fromkeys((0, 1, 3), passed) | {2: stuck})
    assert (verdict.kind, verdict.ranks) == ("desync", (2,))


def test_sizes_of_an_all_to_all_may_differ(tmp_path: Path) -> None:
    def dump(rank: int) -> object:
        return content([entry(3, "nccl:all_to_all", input_sizes=[[rank + 1]])], WORLD)

    assert verdict_on(tmp_path, {rank: dump(rank) for rank in range(4)}).kind == "network"


def test_followers_in_other_groups_are_not_blamed(tmp_path: Path) -> None:
    """Rank 3 keeps its neighbour 2 (group B), which keeps 0 (group D), which keeps 1 (group A)."""
    groups = {"A": [0, 1], "B": [2, 3], "C": [1, 3], "D": [0, 2]}

    def dump(*entries: object) -> object:
        return content(list(entries), groups)

    done = {"group": "A", "done": True}
    dumps = {
        0: dump(entry(1, **done), entry(9, group="D")),
        1: dump(entry(1, **done), entry(2, group="A", time_created_ns=1)),  # a clock that goes wrong
        2: dump(entry(8, group="D", done=True), entry(4, group="B")),
        3: dump(entry(3, group="B", done=True)),
    }
    verdict = verdict_on(tmp_path, dumps)
    assert (verdict.kind, verdict.ranks) == ("straggler", (3,))
    assert "number 4 of group group B (B)" in verdict.said


def test_ranks_that_wait_for_each_other_are_a_desync(tmp_path: Path) -> None:
    groups = {"A": [0, 1], "B": [0, 1]}
    dumps = {
        0: content([entry(1, group="A", done=True), entry(5, group="B")], groups),
        1: content([entry(2, group="A"), entry(4, group="B", done=True)], groups),
    }
    verdict = verdict_on(tmp_path, dumps)
    assert (verdict.kind, verdict.ranks) == ("desync", (0, 1))
    assert "wait for each other" in verdict.said and verdict.where.count("train.py") == 2


def test_all_in_the_same_collective_is_the_network_or_the_first_one(tmp_path: Path) -> None:
    later = dict.fromkeys(range(4), content([entry(8, done=True), entry(9)], WORLD))
    verdict = verdict_on(tmp_path / "later", later)
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("network", (), "low")
    first = verdict_on(tmp_path / "first", dict.fromkeys(range(4), content([entry(1)], WORLD)))
    assert (first.kind, first.cause) == ("first-collective", "nccl-first-collective-hang")


def test_a_rank_that_is_ahead_of_the_rings_of_others_is_not_missing(tmp_path: Path) -> None:
    """Rank 1's ring has turned: nothing of number 4000 is left in it, or nothing of the group at all."""
    turned = content([entry(seq, done=True) for seq in range(5000, 5010)], WORLD)
    other = content([entry(seq, group="X", done=True) for seq in range(5000, 5010)], {**WORLD, "X": [1]})
    for number, ahead in enumerate((turned, other)):
        dumps = {0: content([entry(4000)], WORLD), 2: content([entry(4000)], WORLD), 1: ahead}
        dumps[3] = content([entry(3999, done=True)], WORLD)
        assert verdict_on(tmp_path / str(number), dumps).ranks == (3,)


def test_sends_and_receives_are_paired(tmp_path: Path) -> None:
    def p2p(op: str) -> object:
        return entry(5, op, group="P", is_p2p=True)

    groups = {"P": [2, 6]}  # places 0 and 1 of the group
    dumps = {
        2: content([p2p("nccl:send 0->1"), p2p("nccl:send 0->1")], groups),
        6: content([p2p("nccl:recv 1<-0")], groups),
    }
    verdict = verdict_on(tmp_path, dumps)
    assert (verdict.kind, verdict.ranks) == ("straggler", (6,)) and "send 0->1" in verdict.said


@pytest.mark.parametrize("groups", [WORLD, None])
def test_no_claim_on_healthy_dumps(tmp_path: Path, groups: Groups) -> None:
    idle = dict.fromkeys(range(4), content([entry(1, done=True)], groups))
    verdict = verdict_on(tmp_path / "idle", idle)
    assert (verdict.kind, verdict.ranks, verdict.cause) == ("outside", (), "unknown")
    now = time.time_ns() - 10_000_000
    running = content([entry(1, done=True), entry(2, time_created_ns=now)], groups)
    verdict = verdict_on(tmp_path / "running", idle | {0: running})
    assert (verdict.kind, verdict.ranks) == ("no-hang", ()) and "No hang is seen" in verdict.said
    os.utime(tmp_path / "running" / "rank_0", (time.time() + 60, time.time() + 60))
    assert analyse_dumps([tmp_path / "running"]).kind == "straggler"


def test_nothing_readable_is_said(tmp_path: Path) -> None:
    (tmp_path / "rank_0").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    verdict = analyse_dumps([tmp_path / "rank_0", tmp_path / "notes"])
    assert verdict.kind == "unknown" and "refused: the pickle names" in verdict.said
    assert verdict.evidence[-1].text == "notes: the name does not end with a rank"
