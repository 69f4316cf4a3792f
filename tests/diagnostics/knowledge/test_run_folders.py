"""Run directories of our own, and folders of flight-recorder dumps."""

import pickle
from pathlib import Path

import msgspec
import pytest

from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.load import Knowledge, read_file, together
from diagnostics.knowledge.sources import Unreadable
from engine.failure import RankError
from engine.findings import Finding, Fix

DUMPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "flight_recorder"
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 5.55 GiB."
TRACE = 'Traceback (most recent call last):\n  File "/x/train.py", line 3, in main\n    run()\n'


@pytest.fixture(scope="module")
def known() -> Knowledge:
    return together([read_file(Path(__file__).parent / "starter.yaml")])


def error(rank: int, t: float, kind: str, message: str, findings: tuple[Finding, ...] = ()) -> RankError:
    return RankError(rank, t, kind, message, f"{TRACE}{kind}: {message}\n", 1, findings)


def run_dir(folder: Path, *errors: RankError, status: str = "failed") -> Path:
    for name in ("logs", "errors"):
        (folder / name).mkdir(parents=True)
    (folder / "run.json").write_text(f'{{"name": "r", "status": "{status}", "version": 99, "new": 1}}')
    for each in errors:
        (folder / "errors" / f"rank-{each.rank:05d}.json").write_bytes(msgspec.json.encode(each))
        (folder / "logs" / f"rank-{each.rank:05d}.log").write_text("step 1\n" + each.traceback)
    return folder


def test_the_earliest_error_of_a_rank_is_the_cause(tmp_path: Path, known: Knowledge):
    run = run_dir(
        tmp_path / "r",
        error(0, 1000.0, "RuntimeError", "The actor died unexpectedly before finishing this task."),
        error(1, 998.0, "torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 5.55 GiB."),
        error(2, 990.0, "mylib.Strange", "no exception by its name"),
    )
    found = diagnose(str(run), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert found.findings[0].evidence[0].rank == 1
    assert found.findings[0].evidence[0].t == 998.0
    assert found.findings[0].evidence[0].file.endswith("errors/rank-00001.json")


def test_what_our_engine_says_itself_is_told_where_nothing_else_is_known(tmp_path: Path, known: Knowledge):
    said = Finding("data.missing", "error", "The data file is gone.", fixes=(Fix("bring it back"),))
    run = run_dir(
        tmp_path / "r", error(0, 5.0, "engine.findings.FindingsError", "error data.missing", (said,))
    )
    found = diagnose(str(run), known=known).findings[0]
    assert (found.cause, found.title, found.signature) == (
        "unknown",
        "The data file is gone.",
        "data.missing",
    )
    assert [fix.text for fix in found.fixes] == ["bring it back"]


def test_exit_codes_in_the_launchers_log_count(tmp_path: Path, known: Knowledge):
    run = run_dir(tmp_path / "r")
    (run / "logs" / "launcher.log").write_text(
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
        "      rank      : 1 (local_rank: 1)\n      exitcode  : -9 (pid: 4410)\n"
    )
    (run / "logs" / "rank-00001.log").write_text("step 1\nstep 2\n")
    assert diagnose(str(run), known=known).findings[0].cause == "host-oom-killed"


def test_a_torn_error_file_is_a_note(tmp_path: Path, known: Knowledge):
    run = run_dir(tmp_path / "r", error(1, 998.0, "torch.OutOfMemoryError", OOM.partition(": ")[2]))
    (run / "errors" / "rank-00000.json").write_text('{"rank": 0, "t":')
    found = diagnose(str(run), known=known)
    assert found.findings[0].cause == "cuda-oom-train"
    assert "rank-00000.json could not be read" in found.notes[0]


@pytest.mark.parametrize("status", ["finished", "stopped"])
def test_a_run_that_ended_well_did_not_fail(tmp_path: Path, known: Knowledge, status: str):
    run = run_dir(tmp_path / "r", status=status)
    (run / "logs" / "rank-00000.log").write_text(f"{OOM}\nstep 1\n")
    found = diagnose(str(run), known=known)
    assert found.findings == ()
    assert f"the run is {status}" in found.notes[0]


@pytest.mark.parametrize(("name", "ranks"), [("gpu_error_1st", (12,)), ("lock_gil_1st", (9, 14))])
def test_dumps_name_the_ranks_at_fault(name: str, ranks: tuple[int, ...], known: Knowledge):
    if not DUMPS.is_dir():
        pytest.skip("the shared data is not here")
    found = diagnose(str(DUMPS / name), known=known)
    assert found.ranks == ranks
    assert found.findings[0].cause == "nccl-timeout-straggler"
    assert found.findings[0].evidence


class _Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("/tmp/attacked-by-a-pickle"),))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, known: Knowledge):
    (tmp_path / "rank_0").write_bytes(pickle.dumps(_Attack(), protocol=2))
    with pytest.raises(Unreadable, match="no readable flight-recorder dump"):
        diagnose(str(tmp_path), known=known)
    assert not Path("/tmp/attacked-by-a-pickle").exists()
