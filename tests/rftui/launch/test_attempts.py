"""Creating a run and preparing its next attempt, without starting it."""

import os
import time
from pathlib import Path

import pytest

from diagnostics.hardware import detect
from engine.checkpoint.layout import write_manifest
from engine.config.load import layer_from_flags, load_resolved
from engine.findings import FindingsError
from rftui.launch import control, start
from rftui.launch.prepare import prepare_new
from rftui.launch.processes import lock
from rftui.launch.resume import open_attempt, prepare_resume, saved_steps
from rftui.runs.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of the quickstart that was created, and has ended."""
    overrides = [layer_from_flags(["--nproc", "2", "--temperature", "0.9"])]
    prepared = prepare_new("quickstart", overrides, runs_dir=tmp_path, name="run", hardware=detect())
    return start.create(prepared, tmp_path, "run")


def test_created_run_says_what_it_is(run: RunDir) -> None:
    info = run.read_info()
    assert (info.status, info.preset, info.nproc, info.attempt) == ("planned", "quickstart", 2, 1)
    assert info.cwd == str(Path.cwd()) and set(info.versions) == {"python", "rftui", "torch", "transformers"}
    sources = load_resolved(run.config_path).sources
    assert sources["rollout.temperature"] == "flag" and sources["model.pretrain"] == "preset quickstart"


def test_failure_to_write_leaves_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_new("quickstart", [], runs_dir=tmp_path, name="run", hardware=detect())

    def no_space(run: RunDir, prepared: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(start, "write_config", no_space)
    with pytest.raises(FindingsError, match="No space left") as raised:
        start.create(prepared, tmp_path, "run")
    assert raised.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_next_attempt_keeps_origins_and_records_overrides(run: RunDir) -> None:
    control.request(run, "stop")
    run.errors_dir.mkdir()
    (run.errors_dir / "rank-00000.json").write_text("{}")
    overrides = [layer_from_flags(["--temperature", "0.8"], source="resume")]
    open_attempt(run, prepare_resume(run, overrides, detect()))
    info = run.read_info()
    assert (info.attempt, info.nproc, info.status) == (2, 2, "planned")
    resolved = load_resolved(run.config_path)
    assert resolved.config.rollout.temperature == 0.8
    assert resolved.sources["rollout.temperature"] == "resume"
    assert resolved.sources["parallel.nproc"] == "flag"
    assert resolved.sources["model.pretrain"] == "preset quickstart"
    assert not run.control_path.exists() and list(run.errors_dir.iterdir()) == []


def test_next_attempt_is_checked_like_the_first(run: RunDir) -> None:
    before = run.config_path.read_text()
    with pytest.raises(FindingsError, match=r"batch\.tbs-indivisible"):
        prepare_resume(run, [layer_from_flags(["--nproc", "3"], source="resume")], detect())
    assert run.config_path.read_text() == before


def test_only_complete_checkpoints_count(run: RunDir) -> None:
    config = load_resolved(run.config_path).config
    assert saved_steps(run, config) == {}
    for name in ("step-100", "step-20", "step-300.partial", "step-400"):
        (run.checkpoints_dir / name).mkdir()
    for step in (100, 20):
        write_manifest(run.checkpoints_dir / f"step-{step}", step, world_size=1, torch_version="2")
    assert list(saved_steps(run, config)) == [20, 100]


def test_lock_is_held_once(run: RunDir) -> None:
    first = lock(run.path)
    assert first is not None and lock(run.path) is None
    os.close(first)
    again = lock(run.path)
    assert again is not None
    os.close(again)


def test_supervisor_that_does_not_come_up_is_told(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(run.path))
    (run.path / "psutil.py").write_text("raise ImportError('broken psutil')\n")
    began = time.monotonic()
    with pytest.raises(FindingsError, match="broken psutil") as raised:
        start.start_detached(run)
    assert raised.value.findings[0].id == "run.supervisor-failed" and time.monotonic() - began < 10
    assert run.read_info().status == "failed"
