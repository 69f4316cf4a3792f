"""Watchdog timeouts of several torch versions, and exit codes of several launchers."""

from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.diagnosis import Diagnosed
from diagnostics.knowledge.exits import code_of
from diagnostics.knowledge.load import Knowledge, read_file, together

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.55 GiB."


@pytest.fixture(scope="module")
def known() -> Knowledge:
    return together([read_file(Path(__file__).parent / "starter.yaml")])


def first(folder: Path, known: Knowledge, *lines: str) -> Diagnosed | None:
    path = folder / "train.log"
    path.write_text("\n".join(lines) + "\n")
    found = diagnose(str(path), known=known).findings
    return found[0] if found else None


def old(rank: int, seq: int, op: str = "ALLREDUCE") -> str:
    return (
        f"[E ProcessGroupNCCL.cpp:458] [Rank {rank}] Watchdog caught collective operation timeout: "
        f"WorkNCCL(SeqNum={seq}, OpType={op}, Timeout(ms)=1800000) ran for 1800887 milliseconds before timing"
        " out."
    )


def new(rank: int, seq: int, op: str = "ALLREDUCE", numel: int = 2, group: str = "0(default_pg)") -> str:
    return (
        f"[rank{rank}]:[E809 15:30:30.411 ProcessGroupNCCL.cpp:629] [PG ID 0 PG GUID {group} Rank {rank}] "
        f"Watchdog caught collective operation timeout: WorkNCCL(SeqNum={seq}, OpType={op}, NumelIn={numel}, "
        f"NumelOut={numel}, Timeout(ms)=600000) ran for 600017 milliseconds before timing out."
    )


def status(rank: int, enqueued: int, completed: int) -> str:
    return (
        f"[rank{rank}]:[E809 15:30:30.5 ProcessGroup.cpp:2168] [PG ID 0 PG GUID 0(default_pg) Rank {rank}]"
        f"  failure detected by watchdog at work sequence id: {enqueued} PG status: last enqueued work: "
        f"{enqueued}, last completed work: {completed}"
    )


TIMEOUTS = [
    ([old(0, 41870), old(0, 41867), old(7, 27904)], "nccl-timeout-desync"),
    ([new(0, 9), new(1, 9, op="BROADCAST")], "nccl-timeout-desync"),
    ([new(0, 9, numel=4), new(1, 9, numel=8)], "nccl-timeout-desync"),
    ([new(0, 9), new(1, 9)], "nccl-timeout-straggler"),
    ([new(0, 9), new(0, 10), new(1, 9)], "nccl-timeout-straggler"),
    ([new(0, 9, group="1(tp)"), new(2, 30, group="2(dp)")], "nccl-timeout-straggler"),
    ([new(38, 10), status(38, 10, 9)], "nccl-timeout-straggler"),
    ([new(1, 1), status(1, 1, -1)], "nccl-first-collective-hang"),
    ([new(1, 1), status(1, 2, 0)], "nccl-first-collective-hang"),
    ([new(1, 1)], "nccl-first-collective-hang"),
    ([new(1, 1), status(1, 2, 0), status(0, 7, 6)], "nccl-timeout-straggler"),
    ([new(2, 77), f"[rank2]: {OOM}"], "nccl-timeout-straggler"),
    ([f"[rank3]: {OOM}", new(0, 9), new(1, 9)], "cuda-oom-train"),
    (["[rank3]: mylib.StrangeError: x", new(0, 9), new(1, 9)], "unknown"),
    (
        [new(0, 9), "[rank0]: torch.distributed.DistBackendError: NCCL watchdog", new(1, 9)],
        "nccl-timeout-straggler",
    ),
]


@pytest.mark.parametrize(("lines", "cause"), TIMEOUTS)
def test_timeouts_of_all_ranks_are_read_together(
    tmp_path: Path, known: Knowledge, lines: list[str], cause: str
):
    found = first(tmp_path, known, *lines)
    assert found is not None
    assert found.cause == cause


def test_a_desync_shows_both_sides_and_its_numbers(tmp_path: Path, known: Knowledge):
    found = first(tmp_path, known, old(0, 41870), old(7, 27904))
    assert found is not None
    assert [line.rank for line in found.evidence] == [0, 7]
    assert found.numbers["seq"] == "41870"
    assert found.numbers["seconds"] == "1800"


def test_ranks_that_report_no_timeout_are_named(tmp_path: Path, known: Knowledge):
    for rank in range(4):
        (tmp_path / f"rank-{rank:05d}.log").write_text("step 1\n" if rank == 2 else new(rank, 9) + "\n")
    found = diagnose(str(tmp_path), known=known).findings[0]
    assert (found.cause, found.numbers["silent"]) == ("nccl-timeout-straggler", "2")
    assert [line.rank for line in found.evidence] == [0, 1, 3]


CODES = [
    ("['/usr/bin/python3', '-u', 'run.py', '--local_rank=7'] exits with return code = -9", -9),
    ("      exitcode  : -9 (pid: 2101)", -9),
    ("failed (exitcode: -6) local_rank: 0 (pid: 99) of binary: python", -6),
    ("Signal 9 (SIGKILL) received by PID 41277", -9),
    ("process 41277 was killed by signal: 11", -11),
    ("srun: error: node7: task 3: Exited with exit code 137", -9),
    ("command exited with code 124", 124),
    ("process exited with exit code 0", 0),
    ("exit code: 1", 1),
    ("no code here", None),
]


@pytest.mark.parametrize(("text", "code"), CODES)
def test_exit_codes_of_all_launchers(text: str, code: int | None):
    assert code_of(text) == code


KILLED = (
    "[2023-04-07 15:11:33,220] [ERROR] [launch.py:324:sigkill_handler] ['python'] exits with return code = {}"
)


@pytest.mark.parametrize(
    ("lines", "cause", "title"),
    [
        ([KILLED.format(-9)], "host-oom-killed", "out of memory"),
        ([f"[rank3]: {OOM}", KILLED.format(-9)], "cuda-oom-train", "out of memory"),
        (["ValueError: strange", KILLED.format(-9)], "unknown", "an exception that is not known"),
        ([KILLED.format(-11)], "unknown", "a crash in native code"),
        ([KILLED.format(124)], "unknown", "a time limit ended the run"),
        ([new(0, 9), KILLED.format(-6)], "nccl-timeout-straggler", "out of memory"),
        (
            ["[rank2]: x", "Sending process 77 closing signal SIGTERM", "      exitcode  : -9 (pid: 77)"],
            "worker-died-unknown",
            "out of memory",
        ),
    ],
)
def test_what_exit_codes_say(tmp_path: Path, known: Knowledge, lines: list[str], cause: str, title: str):
    found = first(tmp_path, known, *lines)
    assert found is not None
    assert (found.cause, found.title) == (cause, title)


def test_a_run_that_was_told_to_stop_did_not_fail(tmp_path: Path, known: Knowledge):
    assert first(tmp_path, known, "step 1", "process exited with exit code 0") is None
