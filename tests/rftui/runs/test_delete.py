"""Deletion of a run's folder, and what is never deleted."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.findings import FindingsError
from rftui.launch.command import RUN_DIR_VARIABLE
from rftui.launch.processes import lock
from rftui.runs import delete
from rftui.runs.info import RunInfo, answer_for
from rftui.runs.rundir import RunDir, create, names


def made(runs_dir: Path, status: str = "finished") -> RunDir:
    run = create(runs_dir, "doomed")
    run.write_info(RunInfo(name="doomed", status=status, created=time.time()))  # type: ignore[arg-type]
    (run.checkpoints_dir / "step-1").mkdir()
    (run.checkpoints_dir / "step-1" / "weights").write_bytes(b"x" * 5000)
    return run


def test_all_of_it_goes_and_is_counted(tmp_path: Path) -> None:
    run = made(tmp_path)
    held = delete.contents(run.path)
    assert held.files == 2
    assert 5000 < held.bytes < 6000
    gone = delete.delete(run)
    assert gone.bytes == held.bytes
    assert not run.path.exists()


def test_a_link_within_it_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "model").write_text("precious")
    run = made(tmp_path / "runs")
    (run.path / "model").symlink_to(kept)
    (run.checkpoints_dir / "model").symlink_to(kept)
    delete.delete(run)
    assert (kept / "model").read_text() == "precious"


def test_a_run_that_goes_on_is_not_deleted(tmp_path: Path) -> None:
    run = made(tmp_path, "running")
    info = run.read_info()
    answer_for(info)
    run.write_info(info)
    with pytest.raises(FindingsError, match="doomed is running") as error:
        delete.delete(run)
    assert error.value.findings[0].id == "run.alive"
    assert (run.checkpoints_dir / "step-1" / "weights").exists()


def test_a_run_that_its_supervisor_holds_is_not_deleted_whatever_it_says(tmp_path: Path) -> None:
    run = made(tmp_path)
    fd = lock(run.path)
    assert fd is not None
    try:
        with pytest.raises(FindingsError, match="is running"):
            delete.delete(run)
    finally:
        os.close(fd)
    assert names(tmp_path) == ["doomed"]


def test_processes_that_outlive_their_supervisor_keep_the_run(tmp_path: Path) -> None:
    run = made(tmp_path)
    environment = {**os.environ, RUN_DIR_VARIABLE: str(run.path.resolve())}
    rank = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    try:
        with pytest.raises(FindingsError, match=f"its processes {rank.pid} still work"):
            delete.delete(run)
    finally:
        rank.kill()
        rank.wait()
    delete.delete(run)
    assert names(tmp_path) == []


def test_a_damaged_run_can_be_deleted(tmp_path: Path) -> None:
    run = made(tmp_path)
    run.info_path.write_text("{")
    delete.delete(run)
    assert not run.path.exists()


def test_a_link_to_a_run_is_left_to_the_user(tmp_path: Path) -> None:
    run = made(tmp_path / "elsewhere")
    (tmp_path / "runs").mkdir()
    link = tmp_path / "runs" / "doomed"
    link.symlink_to(run.path)
    with pytest.raises(FindingsError, match="is a link to"):
        delete.delete(RunDir(link))
    assert run.exists


def test_what_is_gone_already_is_an_error_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(FindingsError, match="cannot be deleted"):
        delete.delete(RunDir(tmp_path / "never"))
