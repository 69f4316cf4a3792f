"""Slow and silent ranks are named; progress that stops is noticed by each phase's own measure."""

import random
from collections.abc import Iterator

import msgspec
import pytest

from diagnostics.health.progress import stuck
from engine.events import AnyEvent, Collective, Heartbeat, Phase
from tests.diagnostics.health.said import STEP_S, T0, header, ids, metrics, monitor, phase

RANKS = range(4)


def steps(count: int, rollout: dict[int, float] | None = None, first: int = 1) -> Iterator[AnyEvent]:
    """Four ranks that roll out for 2 s and update for 3 s in each step; `rollout`: seconds of some ranks."""
    for step in range(first, first + count):
        for rank in RANKS:
            begin = T0 + STEP_S * step
            yield from phase(rank, step, "rollout", begin, (rollout or {}).get(rank, 2.0))
            yield from phase(rank, step, "update", begin + 6, 3.0)


def waited(rank: int, step: int, seconds: float) -> Collective:
    return Collective(
        t=end_of(step), rank=rank, step=step, group="world", op="all_reduce", size=8, seconds=seconds
    )


def end_of(step: int) -> float:
    return T0 + STEP_S * step + 9


def test_ranks_that_are_equally_fast_raise_nothing() -> None:
    watch = monitor()
    watch.take(map(header, RANKS))
    assert ids(watch, end_of(30), steps(30)) == set()


def test_a_rank_that_is_slower_than_the_others_is_named() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(10, {2: 4.0})])
    (found,) = watch.look(end_of(10))
    assert found.id == "rank.slow-rollout"
    assert found.cause.startswith("rank 2 takes 2.0 times as long in phase rollout as the others")


def test_two_slow_ranks_are_both_told() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(5, {0: 3.5, 2: 4.0})])
    (found,) = watch.look(end_of(5))
    assert found.id == "rank.slow-rollout"
    assert [line.split(":")[0] for line in found.evidence] == ["rank 0", "rank 2"]


@pytest.mark.parametrize("spread", [0.3, 0.6, 0.9])
def test_responses_of_different_lengths_make_no_straggler(spread: float) -> None:
    watch, chance = monitor(), random.Random(1)
    watch.take(map(header, RANKS))
    for step in range(1, 101):
        lengths = {rank: [chance.lognormvariate(0.5, spread) for _ in range(16)] for rank in RANKS}
        watch.take(steps(1, {rank: max(each) for rank, each in lengths.items()}, first=step))
        assert not {id for id in ids(watch, end_of(step)) if id.startswith("rank.slow")}


def test_a_rank_that_became_slow_is_named() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(30), *steps(6, {0: 4.0, 1: 4.0, 2: 4.0, 3: 4.0}, first=31)])
    assert [finding.id for finding in watch.look(end_of(36))] == ["rank.became-slow"]


def test_longer_responses_are_nobodys_fault() -> None:
    watch = monitor()
    lengths = [200.0] * 30 + [500.0] * 6
    watch.take([*map(header, RANKS), *steps(30), *steps(6, dict.fromkeys(RANKS, 4.0), first=31)])
    assert ids(watch, end_of(36), metrics(36, response__length_mean=lengths)) == set()


def test_the_rank_that_others_wait_for_is_a_straggler() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(6)])
    for step in range(2, 7):
        for rank in RANKS:
            seconds = 0.1 if rank == 3 else 4.5
            watch.take([waited(rank, step, seconds)])
    (found,) = watch.look(end_of(6))
    assert found.id == "rank.straggler"
    assert found.cause == "the others waited for rank 3 in each of the last 5 steps, 4.4 s each time."


def test_a_rank_that_is_late_now_and_then_is_no_straggler() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(6)])
    for step in range(2, 7):
        late = 3 if step != 4 else 1
        watch.take([waited(rank, step, 0.1 if rank == late else 4.5) for rank in RANKS])
    assert ids(watch, end_of(6)) == set()


def test_one_late_step_is_counted_once_however_many_groups_wait() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(6)])
    for rank in RANKS:
        for group in ("world", "data", "model"):
            event = waited(rank, 6, 0.1 if rank == 3 else 4.5)
            watch.take([msgspec.structs.replace(event, group=group)])
    assert ids(watch, end_of(6)) == set()


def test_a_rank_without_heartbeats_is_silent() -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(3)])
    now = end_of(3) + 40
    watch.take(Heartbeat(t=now - 2, rank=rank, step=3, phase="") for rank in (0, 1, 3))
    (found,) = watch.look(now)
    assert found.id == "rank.silent" and found.cause.startswith("rank 2 gave no sign of life for 40 s")


@pytest.mark.parametrize(
    ("name", "waited", "hangs"),
    [
        ("rollout", 100.0, False),  # at least two minutes
        ("rollout", 125.0, True),
        ("checkpoint", 500.0, False),  # never done before: weights may be large
        ("checkpoint", 1250.0, True),
    ],
)
def test_progress_is_measured_by_the_phase(name: str, waited: float, hangs: bool) -> None:
    watch = monitor()
    watch.take([*map(header, RANKS), *steps(3)])
    begin = end_of(3) + 1
    watch.take(Phase(t=begin, rank=rank, step=4, name=name, state="begin") for rank in RANKS)
    found = stuck(watch.seen, begin + waited)
    assert (found is not None) is hangs
    if found:
        assert (found.phase, found.step) == (name, 4)


def test_the_users_own_limit_counts() -> None:
    watch = monitor("parallel.hang_after=8")
    watch.take([*map(header, RANKS), *steps(3)])
    assert ids(watch, end_of(3) + 7) == set()
    assert ids(watch, end_of(3) + 9) == {"hang.suspected"}


def test_the_phase_of_the_rank_that_is_behind_is_told() -> None:
    watch = monitor("parallel.hang_after=8")
    watch.take([*map(header, RANKS), *steps(3)])
    begin = end_of(3) + 1
    watch.take(phase_event for rank in (0, 1, 2) for phase_event in phase(rank, 4, "rollout", begin, 2.0))
    watch.take([Phase(t=begin, rank=3, step=4, name="rollout", state="begin")])
    watch.take(
        Heartbeat(
            t=begin + 10, rank=r, step=4, phase="reward", group="world", op="all_reduce", seq=7, waiting=8.0
        )
        for r in (0, 1, 2)
    )
    found = next(f for f in watch.look(begin + 11) if f.id == "hang.suspected")
    assert "phase rollout of step 4" in found.cause
    assert found.evidence[0] == "rank 0 in all_reduce number 7 of world for 8 s"
    assert found.fixes[0].command == "rft diagnose --hang a-run"


def test_a_run_that_has_ended_does_not_hang() -> None:
    from engine.events import Status

    watch = monitor("parallel.hang_after=8")
    watch.take([*map(header, RANKS), *steps(3)])
    watch.take(Status(t=end_of(3), rank=rank, state="finished") for rank in RANKS)
    assert ids(watch, end_of(3) + 1000) == set()
