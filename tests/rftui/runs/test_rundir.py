"""The run directory on a real disk: creation, names, run.json, and whether a supervisor lives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine.findings import FindingsError
from rftui.runs import rundir
from rftui.runs.info import Exit, RunInfo, effective_status, started_after_boot, write_atomic


def finding_of(error: pytest.ExceptionInfo[FindingsError]) -> str:
    return error.value.findings[0].id


def test_create_makes_the_folders_and_info_survives_a_round_trip(tmp_path: Path) -> None:
    run = rundir.create(tmp_path / "a" / "runs", "first.run_1-x")
    assert run.events_dir.is_dir() and run.logs_dir.is_dir() and run.checkpoints_dir.is_dir()
    info = RunInfo(
        name=run.name,
        status="failed",
        created=12.5,
        command=["python", "-m", "x"],
        exit=Exit("rank 1 was killed", {"1": "killed by SIGKILL"}),
        git={"commit": "abc", "dirty": True},
    )
    run.write_info(info)
    assert run.read_info() == info
    assert rundir.find(run.path.parent, run.name) == run
    assert rundir.find(tmp_path, str(run.path)).path == run.path
    assert [p.name for p in run.path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["", ".hidden", "-flag", "a/b", "..", "a b", "ä", "x" * 101, "a\n"])
def test_names_that_would_hurt_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FindingsError) as error:
        rundir.create(tmp_path / "runs", name)
    assert finding_of(error) == "run.name-invalid" and error.value.exit_code == 2
    assert not (tmp_path / "runs").exists()
    rundir.check_name(rundir.clean_name(name))


def test_used_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    run = rundir.create(tmp_path, "one")
    (run.path / "mine").write_text("x")
    with pytest.raises(FindingsError) as error:
        rundir.create(tmp_path, "one")
    assert finding_of(error) == "run.name-used" and error.value.exit_code == 2
    assert (run.path / "mine").read_text() == "x"


@pytest.mark.parametrize("runs_dir", ["file", "file/below"])
def test_unwritable_place_is_exit_code_3_and_nothing_is_created(tmp_path: Path, runs_dir: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FindingsError) as error:
        rundir.create(tmp_path / runs_dir, "one")
    assert finding_of(error) == "run.dir-unwritable" and error.value.exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_created_parents_are_removed_when_creation_fails() -> None:
    with pytest.raises(FindingsError) as error:
        rundir.create(Path("/proc/self/runs"), "one")
    assert finding_of(error) == "run.dir-unwritable"


def test_unknown_name_suggests_near_ones(tmp_path: Path) -> None:
    for name in ("quickstart-1", "gsm8k-7b"):
        rundir.create(tmp_path, name).write_info(RunInfo(name=name, status="finished", created=1.0))
    (tmp_path / "quickstart-alien").mkdir()
    with pytest.raises(FindingsError) as error:
        rundir.find(tmp_path, "quikstart-1")
    assert finding_of(error) == "run.unknown" and error.value.exit_code == 2
    assert error.value.findings[0].fixes[0].text == "use quickstart-1"
    with pytest.raises(FindingsError):
        rundir.find(tmp_path, "..")


def test_runs_started_in_one_second_get_different_names(tmp_path: Path) -> None:
    made = {rundir.create_auto(tmp_path, "configs/My Preset!.yaml").name for _ in range(5)}
    assert len(made) == 5
    assert all(name.startswith("My-Preset-") for name in made)


def test_default_runs_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RFTUI_RUNS_DIR", raising=False)
    assert rundir.default_runs_dir() == Path("runs")
    monkeypatch.setenv("RFTUI_RUNS_DIR", "/x/y")
    assert rundir.default_runs_dir() == Path("/x/y")


def test_commands_name_the_folder_unless_it_is_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RFTUI_RUNS_DIR", raising=False)
    assert rundir.RunDir(Path("runs/a")).in_commands == "a"
    assert rundir.RunDir(tmp_path / "runs" / "a").in_commands == "a"
    assert rundir.RunDir(Path("/my runs/a")).in_commands == "a --runs-dir '/my runs'"
    monkeypatch.setenv("RFTUI_RUNS_DIR", "/my runs")
    assert rundir.RunDir(Path("/my runs/a")).in_commands == "a"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": "x"}', b'{"name":"x","status":"odd","created":1}']
)
def test_damaged_run_json_is_a_finding(tmp_path: Path, content: bytes) -> None:
    run = rundir.create(tmp_path, "one")
    run.info_path.write_bytes(content)
    with pytest.raises(FindingsError) as error:
        run.read_info()
    assert finding_of(error) == "run.info-unreadable" and str(run.info_path) in str(error.value)


def test_run_json_of_a_newer_version_is_read(tmp_path: Path) -> None:
    run = rundir.create(tmp_path, "one")
    run.info_path.write_text('{"name": "one", "status": "running", "created": 3, "colour": "blue"}')
    assert run.read_info().status == "running"


def test_failed_replace_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "kept").write_text("x")
    with pytest.raises(OSError):
        write_atomic(target, b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def running(**fields: object) -> RunInfo:
    return RunInfo(name="r", status="running", created=0.0, **fields)  # type: ignore[arg-type]


def test_status_follows_the_supervisor_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = started_after_boot(child.pid)
        info = running(supervisor_pid=child.pid, supervisor_started=started)
        assert effective_status(info) == "running"
        reused = running(supervisor_pid=child.pid, supervisor_started=started - 1)
        assert effective_status(reused) == "lost"
        child.kill()
        deadline = time.monotonic() + 10
        while effective_status(info) == "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert effective_status(info) == "lost"  # a zombie until waited for
    finally:
        child.kill()
        child.wait()
    assert effective_status(info) == "lost"


def test_setting_the_clock_loses_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    info = running(supervisor_pid=os.getpid(), supervisor_started=started_after_boot(os.getpid()))
    later = psutil.boot_time() + 3600
    monkeypatch.setattr("psutil.boot_time", lambda: later)
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: later)
    assert effective_status(info) == "running"


def test_status_by_ages() -> None:
    here = running(supervisor_pid=os.getpid())
    assert effective_status(here, progress_age=59.0) == "running"
    assert effective_status(here, progress_age=61.0) == "stalled"
    assert effective_status(here, progress_age=61.0, usual_step=30.0) == "running"
    elsewhere = running(supervisor_pid=os.getpid(), host="another-host.example")
    assert effective_status(elsewhere, heartbeat_age=599.0) == "running"
    assert effective_status(elsewhere, heartbeat_age=601.0) == "lost"
    done = RunInfo(name="r", status="finished", created=0.0, supervisor_pid=1)
    assert effective_status(done, heartbeat_age=1e9, progress_age=1e9) == "finished"
