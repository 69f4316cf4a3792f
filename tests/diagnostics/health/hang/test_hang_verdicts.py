"""What is decided from evidence made by hand: one case for each class."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from diagnostics.health.hang.call_sites import Frame
from diagnostics.health.hang.decide import decide
from diagnostics.health.hang.dumps import Dumps, dump_files, read_all
from diagnostics.health.hang.evidence import Evidence, Round
from diagnostics.health.hang.failures import Failure, first_failure
from diagnostics.health.hang.finding import hang_finding
from diagnostics.health.hang.processes import Process
from diagnostics.health.hang.ras import Report
from diagnostics.health.hang.stacks import Stack, Thread
from diagnostics.health.hang.verdict import HangClass, Verdict
from engine.events import Heartbeat
from engine.failure import RankError
from engine.health.peers import Place
from tests.diagnostics.health.hang.recorders import content, entry, write

COLLECTIVE = (
    Frame("/v/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", 3245, "all_reduce"),
    Frame("/src/engine/policy_update.py", 61, "step"),
)
REWARD = (Frame("/home/me/score.py", 9, "ask"), Frame("/src/engine/rewards/functions.py", 66, "call"))
UPDATE = (Frame("/home/me/loss.py", 9, "wait"), Frame("/src/engine/policy_update.py", 70, "step"))
RANKS = range(4)
ODD = 2


def seen(
    odd: tuple[Frame, ...] = COLLECTIVE,
    others: tuple[Frame, ...] = COLLECTIVE,
    state: str = "sleeping",
    dumps: Dumps | None = None,
    step: int = 3,
) -> Round:
    """A round in which rank 2 differs from the others."""
    frames = {rank: odd if rank == ODD else others for rank in RANKS}
    states = {rank: state if rank == ODD else "sleeping" for rank in RANKS}
    threads = {rank: (Thread("main", frames[rank]),) if frames[rank] else () for rank in RANKS}
    return Round(
        processes={rank: Process(rank=rank, pid=100 + rank, state=states[rank]) for rank in RANKS},
        stacks={rank: Stack(rank, threads[rank], "" if threads[rank] else "silent") for rank in RANKS},
        dumps=dumps or Dumps({}, {}),
        places={
            rank: Place(step, "update", "begin", 0.0, Heartbeat(t=0.0, rank=rank, step=step, phase="update"))
            for rank in RANKS
        },
    )


def evidence(*rounds: Round, failure: Failure | None = None, **more: object) -> Evidence:
    return msgspec.structs.replace(Evidence(world_size=4, rounds=rounds, failure=failure), **more)


def recorded(folder: Path, odd: object | None, others: object) -> Dumps:
    dumps = {rank: odd if rank == ODD else others for rank in RANKS}
    write(folder, {rank: dump for rank, dump in dumps.items() if dump is not None})
    return read_all(dump_files(folder).items())


@pytest.fixture
def behind(tmp_path: Path) -> Dumps:
    """Dumps in which rank 2 has not come to collective 2."""
    return recorded(tmp_path, content([entry(1, done=True)]), content([entry(1, done=True), entry(2)]))


def test_recorder_and_stacks_that_agree_are_sure(behind: Dumps) -> None:
    verdict = decide(evidence(seen(UPDATE, dumps=behind)))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("straggler", (2,), "high")
    assert verdict.where == "/home/me/loss.py:9 wait" and (verdict.phase, verdict.step) == ("update", 3)


def test_a_recorder_alone_is_not_sure(behind: Dumps) -> None:
    verdict = decide(evidence(seen((), (), dumps=behind)))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("straggler", (2,), "medium")


def test_ras_can_be_the_second_probe(behind: Dumps) -> None:
    report = Report("…", {"MISMATCH": (102,)})
    verdict = decide(evidence(seen((), (), dumps=behind), ras=report))
    assert verdict.confidence == "high" and any(
        s.probe == "ras" and s.ranks == (2,) for s in verdict.evidence
    )


def test_what_the_missing_rank_does_decides_the_class(behind: Dumps) -> None:
    verdict = decide(evidence(seen(REWARD, dumps=behind)))
    assert (verdict.kind, verdict.ranks) == ("reward", (2,)) and "score.py:9 ask" in verdict.said


def test_a_missing_rank_in_another_collective_took_another_path(behind: Dumps) -> None:
    elsewhere = (COLLECTIVE[0], Frame("/src/engine/evaluate.py", 5, "run"))
    verdict = decide(evidence(seen(elsewhere, dumps=behind)))
    assert (verdict.kind, verdict.ranks) == ("desync", (2,)) and "evaluate.py:5 run" in verdict.said


def test_a_rank_whose_stack_moves_is_slow(behind: Dumps) -> None:
    later = (Frame("/home/me/loss.py", 12, "compute"), *UPDATE[1:])
    verdict = decide(evidence(seen(UPDATE, dumps=behind), seen(later, dumps=behind)))
    assert verdict.kind == "straggler" and "its stack moves" in verdict.said


def test_without_dumps_stacks_name_the_rank() -> None:
    verdict = decide(evidence(seen(REWARD)))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("reward", (2,), "medium")
    silent = decide(evidence(seen(())))
    assert (silent.kind, silent.ranks) == ("straggler", (2,)) and "(silent)" in silent.said


def test_all_ranks_in_a_silent_reward_are_nobodys_fault(tmp_path: Path) -> None:
    idle = content([entry(1, done=True)])
    verdict = decide(evidence(seen(REWARD, REWARD, dumps=recorded(tmp_path, idle, idle))))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("reward", (), "high")
    later = (Frame("/home/me/score.py", 11, "ask"), *REWARD[1:])
    moving = decide(evidence(seen(REWARD, REWARD), seen(later, later)))
    assert (moving.kind, moving.confidence) == ("reward", "low") and "slow rather than stuck" in moving.said


def test_all_in_the_same_collective_is_the_network(tmp_path: Path) -> None:
    at = content([entry(8, done=True), entry(9)])
    verdict = decide(evidence(seen(dumps=recorded(tmp_path, at, at))))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("network", (), "high")
    assert decide(evidence(seen())).confidence == "low"  # stacks alone


def test_a_stopped_process_and_one_held_by_a_disk(behind: Dumps) -> None:
    verdict = decide(evidence(seen((), state="stopped", dumps=behind)))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("stopped-process", (2,), "high")
    disk = seen(UPDATE, state="disk", dumps=behind)
    assert decide(evidence(disk)).kind == "straggler"  # one look may meet a healthy read
    assert decide(evidence(disk, disk)).kind == "storage"


def test_a_run_that_goes_on_is_no_hang(behind: Dumps) -> None:
    verdict = decide(evidence(seen(UPDATE, dumps=behind, step=3), seen(UPDATE, dumps=behind, step=4)))
    assert (verdict.kind, verdict.ranks) == ("no-hang", ()) and "goes on" in verdict.said


def test_a_killed_rank_and_memory(behind: Dumps) -> None:
    killed = Failure(2, "was ended by signal 9 (SIGKILL)", -9, "launcher log")
    verdict = decide(evidence(seen((), state="ended", dumps=behind), failure=killed))
    assert (verdict.kind, verdict.ranks, verdict.confidence) == ("dead-process", (2,), "high")
    verdict = decide(evidence(seen((), state="ended"), failure=killed, oom_kills=1))
    assert (verdict.kind, verdict.cause) == ("host-oom", "host-oom-killed")
    assert decide(evidence(seen((), state="ended"), failure=killed, oom_kills=0)).kind == "dead-process"
    verdict = decide(evidence(seen((), state="ended", dumps=behind)))
    assert (verdict.kind, verdict.ranks) == ("dead-process", (2,)) and "without a word" in verdict.said


def test_ranks_that_have_all_ended_well_do_not_hang() -> None:
    over = seen((), ())
    gone = {rank: Process(rank=rank, pid=100 + rank, state="ended") for rank in RANKS}
    verdict = decide(evidence(msgspec.structs.replace(over, processes=gone)))
    assert (verdict.kind, verdict.ranks) == ("unknown", ()) and "All 4 ranks have ended" in verdict.said


def test_complaints_about_peers_lead_to_the_one_who_said_nothing(tmp_path: Path) -> None:
    for rank in (0, 1, 3):
        error = RankError(rank, 10.0 + rank, "CollectiveError", "all_reduce over world failed", "", 1)
        write_error(tmp_path, error)
    failure = first_failure(tmp_path, {rank: 100 + rank for rank in RANKS})
    assert failure is not None and failure.about_peer and failure.explained == (0, 1, 3)
    verdict = decide(evidence(seen((), state="ended"), failure=failure))
    assert (verdict.kind, verdict.ranks) == ("dead-process", (2,))


def test_the_first_own_exception_counts(tmp_path: Path) -> None:
    write_error(tmp_path, RankError(0, 5.0, "RuntimeError", "Connection reset by peer", "", 1))
    write_error(tmp_path, RankError(2, 7.0, "ValueError", "no row 17\nmore", "", 1))
    failure = first_failure(tmp_path, {})
    assert failure is not None and (failure.rank, failure.said) == (2, "raised ValueError: no row 17")


def test_exits_of_earlier_attempts_and_those_by_torchrun_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "launcher.log").write_text(
        "failed (exitcode: -9) local_rank: 0 (pid: 7) of binary: python\n"
        "Sending process 100 closing signal SIGTERM\n"
        "failed (exitcode: -11) local_rank: 2 (pid: 102) of binary: python\n"
        "  exitcode  : -15 (pid: 100)\n  exitcode  : -11 (pid: 102)\n"
    )
    failure = first_failure(tmp_path, {rank: 100 + rank for rank in RANKS})
    assert failure is not None and (failure.rank, failure.exit_code) == (2, -11)
    assert failure.said == "was ended by signal 11 (SIGSEGV)" and failure.explained == (0,)


def test_every_class_has_something_to_do() -> None:
    for each in get_args(HangClass):
        finding = hang_finding(Verdict(kind=each, ranks=(), cause="unknown", said="It hangs."), "run")
        assert finding.id == f"hang.{each}" and finding.fixes


def write_error(run_dir: Path, error: RankError) -> None:
    folder = run_dir / "errors"
    folder.mkdir(exist_ok=True)
    (folder / f"rank-{error.rank:05d}.json").write_bytes(msgspec.json.encode(error))
