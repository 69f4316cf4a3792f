"""Creating a run and preparing its next attempt, without starting it."""

import errno
import os
import time
from pathlib import Path

import pytest

from diagnostics.hardware import detect
from engine.checkpoint.layout import write_manifest
from engine.config.load import layer_from_flags, load_resolved
from engine.events import EventWriter, Heartbeat
from engine.findings import FindingsError
from rftui.launch import control, start, stop
from rftui.launch.prepare import prepare_new
from rftui.launch.processes import lock
from rftui.launch.resume import open_attempt, prepare_resume, saved_steps
from rftui.runs.rundir import RunDir
from rftui.runs.view import present_status


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of the quickstart that was created, and has ended."""
    overrides = [layer_from_flags(["--nproc", "2", "--temperature", "0.9"])]
    prepared = prepare_new("quickstart", overrides, runs_dir=tmp_path, name="run", hardware=detect())
    return start.create(prepared, tmp_path, "run")


def test_created_run_says_what_it_is(run: RunDir) -> None:
    info = run.read_info()
    assert (info.status, info.preset, info.nproc, info.attempt) == ("planned", "quickstart", 2, 1)
    assert info.cwd == str(Path.cwd())
    assert {"python", "rftui", "torch", "transformers", "deepspeed"} <= set(info.versions)
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


@pytest.mark.parametrize("text", ["", "batch: {train_batch_size: 8", None])
def test_lost_configuration_is_told_alone(run: RunDir, text: str | None) -> None:
    run.config_path.unlink()
    if text is not None:
        run.config_path.write_text(text)
    with pytest.raises(FindingsError) as raised:
        prepare_resume(run, [], detect())
    (finding,) = raised.value.findings
    assert finding.id == "run.config-unreadable" and finding.evidence


def test_only_complete_checkpoints_count(run: RunDir) -> None:
    config = load_resolved(run.config_path).config
    assert saved_steps(run, config) == {}
    for name in ("step-100", "step-20", "step-300.partial", "step-400"):
        (run.checkpoints_dir / name).mkdir()
    for step in (100, 20):
        write_manifest(run.checkpoints_dir / f"step-{step}", step, world_size=1, torch_version="2")
    assert list(saved_steps(run, config)) == [20, 100]


def test_a_run_begun_elsewhere_goes_on_from_its_own_checkpoints(run: RunDir) -> None:
    elsewhere = run.path / "elsewhere"
    begun = [layer_from_flags(["--ckpt_path", str(elsewhere)], source="flag")]
    open_attempt(run, prepare_resume(run, begun, detect()))
    assert prepare_resume(run, [], detect()).resolved.config.checkpoint.ckpt_path == str(elsewhere)
    (run.checkpoints_dir / "step-20").mkdir()
    write_manifest(run.checkpoints_dir / "step-20", 20, world_size=1, torch_version="2")
    assert prepare_resume(run, [], detect()).resolved.config.checkpoint.ckpt_path is None
    assert prepare_resume(run, begun, detect()).resolved.config.checkpoint.ckpt_path == str(elsewhere)


def test_a_finished_run_is_resumed_only_with_something_to_do(run: RunDir) -> None:
    info = run.read_info()
    info.status, info.steps = "finished", 300
    run.write_info(info)
    with pytest.raises(FindingsError, match=r"run\.finished.*all of its 300 steps"):
        prepare_resume(run, [], detect())
    longer = [layer_from_flags(["--max-steps", "600"], source="resume")]
    assert prepare_resume(run, longer, detect()).resolved.config.optim.max_steps == 600


def test_what_can_be_known_before_ranks_start_is_told(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "tokenizer_config.json").write_text("{}")
    flags = ["--pretrain", str(model), "--apply-chat-template", "--reward-rule", "exact@x"]
    with pytest.raises(FindingsError) as raised:
        prepare_new("quickstart", [layer_from_flags(flags)], runs_dir=tmp_path, name="r", hardware=detect())
    assert {f.id for f in raised.value.findings} == {"data.no-chat-template", "reward.bad-weight"}


def test_lock_is_held_once(run: RunDir) -> None:
    first = lock(run.path)
    assert first is not None and lock(run.path) is None
    os.close(first)
    again = lock(run.path)
    assert again is not None
    os.close(again)


def test_file_system_without_locks_is_worked_in(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    first = lock(run.path)
    assert first is not None
    os.close(first)


def test_run_whose_launcher_died_is_lost_and_can_be_stopped_or_resumed(run: RunDir) -> None:
    assert present_status(run) == "planned"  # this process answers for it
    with pytest.raises(FindingsError, match=r"run\.alive"):
        start.take_over(run)
    die(run)
    assert present_status(run) == "lost"
    os.close(start.take_over(run))
    run.reserve_path.touch()
    assert stop.bury(run) == [] and run.read_info().status == "stopped"
    assert not run.reserve_path.exists()


def test_run_of_another_host_is_its_own_while_it_is_heard_of(run: RunDir) -> None:
    info = run.read_info()
    info.status, info.host, info.started = "running", "another-host.example", time.time() - 3600
    run.write_info(info)
    heard = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
    heard.emit(Heartbeat, step=1, phase="rollout")
    with pytest.raises(FindingsError, match=r"on another-host\.example"):
        start.take_over(run)
    heard.path.unlink()  # now last heard of an hour ago, at its start
    os.close(start.take_over(run))


def test_run_is_not_buried_while_its_supervisor_comes_up(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "LOCK_TIMEOUT_S", 0.1)
    die(run)
    fd = lock(run.path)
    assert fd is not None
    with pytest.raises(FindingsError, match=r"run\.alive"):
        stop.bury(run)
    os.close(fd)
    assert run.read_info().status == "planned"


def test_attempt_that_cannot_be_written_is_told(run: RunDir) -> None:
    die(run)
    prepared = prepare_resume(run, [], detect())
    run.config_path.unlink()
    run.config_path.mkdir()
    with pytest.raises(FindingsError, match=r"run\.dir-unwritable") as raised:
        open_attempt(run, prepared)
    assert raised.value.exit_code == 3 and run.read_info().attempt == 1


def test_supervisor_that_does_not_come_up_is_told(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(run.path))
    (run.path / "psutil.py").write_text("raise ImportError('broken psutil')\n")
    began = time.monotonic()
    with pytest.raises(FindingsError, match="broken psutil") as raised:
        start.start_detached(run)
    assert raised.value.findings[0].id == "run.supervisor-failed" and time.monotonic() - began < 10
    assert run.read_info().status == "failed"


def die(run: RunDir) -> None:
    """Have another process answer for the run, one that is gone."""
    info = run.read_info()
    info.supervisor_started = 1.0
    run.write_info(info)
