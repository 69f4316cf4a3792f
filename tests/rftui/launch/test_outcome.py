"""The cause of a failure, from what torchrun 2.13 printed and what ranks wrote."""

import time
from pathlib import Path

import msgspec
import pytest

from engine.events import EventWriter, Metric, Status
from engine.failure import RankError
from engine.findings import Finding
from rftui.launch import outcome
from rftui.launch.progress import Progress
from rftui.runs.rundir import RunDir, create

KILLED_1 = """\
W1121 11:15:32.571000 7078 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 7080 closing signal SIGTERM
E1121 11:15:32.573000 7078 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 1 (pid: 7081) of binary: /venv/bin/python
======================================================
rk FAILED
------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-21_11:15:32
  host      : localhost
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 7080)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 7080
------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-21_11:15:32
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 7081)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 7081
======================================================
"""  # noqa: E501  as torchrun prints it


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create(tmp_path, "run")


def record(run: RunDir, rank: int, t: float, type: str, message: str, **fields: object) -> None:
    run.errors_dir.mkdir(exist_ok=True)
    error = RankError(rank, t, type, message, "", exit_code=1)
    error = msgspec.structs.replace(error, **fields)
    (run.errors_dir / f"rank-{rank:05d}.json").write_bytes(msgspec.json.encode(error))


def test_killed_rank_is_the_cause_and_the_other_was_ended(run: RunDir) -> None:
    ended = outcome.explain(run, 1, KILLED_1)
    assert ended.cause.startswith("rank 1: killed by SIGKILL")
    assert ended.ranks["0"] == "ended by torchrun after another rank failed"


def test_error_about_a_lost_peer_does_not_hide_the_kill(run: RunDir) -> None:
    record(run, 0, 1.0, "RuntimeError", "[gloo] Connection closed by peer [127.0.0.1]:4242")
    assert outcome.explain(run, 1, KILLED_1).cause.startswith("rank 1: killed by SIGKILL")


def test_waiting_in_vain_does_not_hide_the_kill(run: RunDir) -> None:
    finding = Finding("parallel.rank-missing", "error", "Rank 1 did not come within 60 s.")
    record(run, 0, 1.0, "FindingsError", "…", findings=(finding,))
    assert outcome.explain(run, 1, KILLED_1).cause.startswith("rank 1: killed by SIGKILL")
    record(run, 2, 2.0, "ValueError", "bad")
    assert outcome.explain(run, 1, "").cause == "rank 2: exit code 1: ValueError: bad"


def test_a_failed_collective_comes_after_its_cause(run: RunDir) -> None:
    record(run, 0, 1.0, "CollectiveError", "all_reduce over world failed after 0.1 s: Connection closed")
    record(run, 1, 2.0, "ValueError", "bad")
    assert outcome.explain(run, 1, "").cause == "rank 1: exit code 1: ValueError: bad"


def test_own_error_comes_before_its_consequences(run: RunDir) -> None:
    record(run, 1, 5.0, "DistBackendError", "NCCL error")
    record(run, 0, 7.0, "ValueError", "bad\nmore")
    record(run, 2, 6.0, "OSError", "No space left on device")
    ended = outcome.explain(run, 1, "")
    assert ended.cause == "rank 2: exit code 1: OSError: No space left on device"
    assert ended.ranks["0"] == "exit code 1: ValueError: bad"


def test_finding_of_a_rank_gives_cause_and_exit_code(run: RunDir) -> None:
    finding = Finding("model.not-found", "error", "the model x does not exist.")
    record(run, 0, 1.0, "FindingsError", "…", exit_code=3, findings=(finding,))
    assert outcome.explain(run, 1, "").cause == "rank 0: exit code 3: the model x does not exist."
    assert outcome.exit_code(run, "failed") == 3
    assert outcome.exit_code(run, "stopped") == 0


def test_torn_error_file_and_silent_launcher(run: RunDir) -> None:
    run.errors_dir.mkdir()
    (run.errors_dir / "rank-00000.json").write_text('{"rank": 0, "ty')
    assert outcome.explain(run, -9, "line\nlast line\n").cause.endswith("its last line: last line")
    assert "SIGKILL" in outcome.explain(run, -9, "").cause
    assert outcome.exit_code(run, "failed") == 1


def test_log_is_read_from_the_attempt_on(tmp_path: Path) -> None:
    log = tmp_path / "launcher.log"
    assert outcome.log_since(log, 0) == ""
    log.write_text("first attempt\nsecond attempt\n")
    assert outcome.log_since(log, 14) == "second attempt\n"
    log.write_text("cut\n")
    assert outcome.log_since(log, 14) == "cut\n"


def test_steps_done_again_after_a_resume_do_not_count_twice(run: RunDir) -> None:
    writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
    for step in range(1, 11):
        writer.emit(Metric, step=step, values={"reward/mean": 0.5})
    assert outcome.read_progress(run, since=0.0) == outcome.Progress("", 10, None)
    writer.emit(Status, state="resumed", step=8, total_steps=20)
    writer.emit(Metric, step=9, values={"reward/mean": 0.5})
    assert outcome.read_progress(run, since=0.0) == outcome.Progress("resumed", 9, 20)
    progress = Progress(run, print, since=0.0)
    progress.poll()
    assert progress.step == 9
    assert outcome.read_progress(run, since=time.time() + 1).state == ""
