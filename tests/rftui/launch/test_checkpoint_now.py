"""A checkpoint when it is asked for: real ranks save and go on, and the refusals."""

import json
import os
import random
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.control import Control, requested
from engine.events import CheckpointEvent, EventWriter, Metric, Status
from engine.findings import FindingsError
from rftui.launch import checkpoint, control
from rftui.launch.outcome import read_progress
from rftui.runs.info import RunInfo, RunStatus, started_after_boot
from rftui.runs.rundir import RunDir, create
from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step, read_events, started, train, wait_for_step


def running(folder: Path, name: str = "run", status: RunStatus = "running") -> RunDir:
    """A run that this process stands by."""
    run = create(folder, name)
    pid = os.getpid()
    run.write_info(
        RunInfo(
            name=name,
            status=status,
            created=time.time(),
            started=time.time(),
            supervisor_pid=pid,
            supervisor_started=started_after_boot(pid),
        )
    )
    return run


@pytest.mark.dist
def test_two_ranks_save_when_asked_go_on_and_resume_from_it(tmp_path: Path) -> None:
    rng = random.Random(0)
    data = tmp_path / "prompts.jsonl"
    lines = [json.dumps({"input": "x" * rng.randint(1, 9), "label": str(i)}) for i in range(40)]
    data.write_text("\n".join(lines) + "\n")
    reward = tmp_path / "even.py"
    reward.write_text("def score(responses, labels):\n    return [len(r) % 7 / 7 for r in responses]\n")
    flags = {
        "pretrain": save_tiny_model(tmp_path / "model"),
        "bf16": "false",
        "prompt_data": data,
        "reward_fn": f"{reward}:score",
        "rollout_batch_size": 4,
        "n_samples_per_prompt": 4,
        "train_batch_size": 16,
        "micro_train_batch_size": 4,
        "micro_rollout_batch_size": 8,
        "prompt_max_len": 16,
        "max_len": 28,
        "fsdp": "true",
        "engine_type": "hf",
        "num_episodes": 100_000,
        "save_interval": 0,
        "max_steps": 10_000,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    run = running(tmp_path)
    with started(run.path, *words, nproc=2) as process:
        wait_for_step(run.path, 2, process)
        run.control_path.write_text('{"action": "checkpoint"}')  # without a time: obeyed once
        deadline = time.monotonic() + 60
        while not any(isinstance(e, CheckpointEvent) for e in read_events(run.path)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        answer = checkpoint.wait(run, checkpoint.ask(run), timeout=60)
        asked = requested(run.path)
        events = read_events(run.path)
        (status,) = [e for e in events if isinstance(e, Status) and e.answers]
        unnamed, saved = [e for e in events if isinstance(e, CheckpointEvent)]
        assert unnamed.step < saved.step
        assert asked is not None and asked.t == status.answers
        assert (status.state, saved.state, saved.step) == ("checkpointed", "complete", status.step)
        assert answer == f"step {saved.step} is saved, training goes on"
        assert saved.step >= 2 and (Path(saved.path) / "manifest.json").is_file()
        wait_for_step(run.path, saved.step + 3, process)
        assert process.poll() is None
        # The same request is not obeyed twice; another one is.
        assert len([e for e in read_events(run.path) if isinstance(e, CheckpointEvent)]) == 2
        checkpoint.wait(run, checkpoint.ask(run), timeout=60)
        second = [e for e in read_events(run.path) if isinstance(e, CheckpointEvent)][-1]
        assert second.step > saved.step
    again = tmp_path / "again"
    words += ["--load_checkpoint", "--ckpt_path", saved.path, "--max_steps", str(saved.step + 1)]
    output = train(again, *words, nproc=2)
    assert f"resumed from {saved.path} at step {saved.step}" in output
    went_on, resumed = (metrics_by_step(path)[saved.step + 1] for path in (run.path, again))
    assert went_on.pop("lr/actor") != resumed.pop("lr/actor")  # its schedule is shorter
    assert resumed == went_on


def test_a_run_that_has_ended_is_not_asked(tmp_path: Path) -> None:
    run = running(tmp_path, status="finished")
    with pytest.raises(FindingsError, match="has ended \\(finished\\)"):
        checkpoint.ask(run)
    assert requested(run.path) is None


@pytest.mark.parametrize(
    ("action", "words"), [("stop", "saves a checkpoint then"), ("kill", "without another")]
)
def test_a_stop_or_kill_is_not_taken_back(tmp_path: Path, action: str, words: str) -> None:
    run = running(tmp_path)
    before = control.request(run, action)  # type: ignore[arg-type]
    with pytest.raises(FindingsError, match=words):
        checkpoint.ask(run)
    assert requested(run.path) == before
    assert control.kill_requested(run) == (action == "kill")


def test_no_answer_in_time_and_an_answer_in_vain(tmp_path: Path) -> None:
    run = running(tmp_path)
    writer = EventWriter(run.events_dir / checkpoint.RANK_0, rank=0)
    with pytest.raises(FindingsError, match=r"has not answered within 0\.3 s"):
        checkpoint.wait(run, checkpoint.ask(run), timeout=0.3)
    before = requested(run.path)

    def answer() -> None:
        while (asked := requested(run.path)) == before or asked is None:
            time.sleep(0.01)
        writer.emit(Metric, step=4, values={})
        writer.emit(Status, state="running", message="step 4 could not be saved", answers=asked.t)

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(FindingsError, match="step 4 could not be saved"):
        checkpoint.wait(run, checkpoint.ask(run), timeout=10)
    thread.join()
    writer.close()


@pytest.mark.parametrize(
    ("status", "said", "saved", "words"),
    [
        ("finished", "finished", True, "it has finished meanwhile, and step 4 is saved"),
        ("stopped", "stopped", True, "it was stopped meanwhile, and step 4 is saved"),
        ("stopped", "stopped", False, "run was stopped meanwhile, and step 4 could not be saved."),
        ("stopped", "running", True, "run ended first (stopped)."),  # killed
        ("failed", "stopped", True, "run ended first (failed)."),  # what an earlier attempt said
    ],
)
def test_a_run_that_ends_instead_is_told_of(
    tmp_path: Path, status: str, said: str, saved: bool, words: str
) -> None:
    run = running(tmp_path)
    answer = checkpoint.Answer(run, checkpoint.ask(run))
    with closing(EventWriter(run.events_dir / checkpoint.RANK_0, rank=0)) as writer:
        writer.emit(CheckpointEvent, step=3, state="complete")
        writer.emit(CheckpointEvent, step=4, state="complete" if saved else "failed")
        writer.emit(Status, state=said, step=4)
    assert answer.poll() == ""
    info = run.read_info()
    info.status = status  # type: ignore[assignment]
    run.write_info(info)
    if words.startswith("it "):
        assert answer.poll() == words
    else:
        with pytest.raises(FindingsError) as error:
            answer.poll()
        assert [finding.cause for finding in error.value.findings] == [words]


def test_one_answer_is_for_all_who_asked_before_the_step_ended(tmp_path: Path) -> None:
    run = running(tmp_path)
    first, second = (checkpoint.ask(run) for _ in range(2))
    assert first.t < second.t
    with closing(EventWriter(run.events_dir / checkpoint.RANK_0, rank=0)) as writer:
        writer.emit(Status, state="checkpointed", message="step 4 is saved", answers=second.t)
    assert [checkpoint.wait(run, asked, timeout=5) for asked in (first, second)] == ["step 4 is saved"] * 2
    third = checkpoint.ask(run)
    assert checkpoint.Answer(run, third).poll() == ""


def test_a_stop_that_is_written_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running(tmp_path)
    stopping = threading.Thread(target=control.request, args=(run, "stop"))

    def looks(path: Path) -> Control | None:
        monkeypatch.undo()
        found = requested(path)
        stopping.start()
        stopping.join(0.2)  # it has to wait
        return found

    monkeypatch.setattr(control, "requested", looks)
    assert control.request(run, "checkpoint").action == "checkpoint"
    stopping.join()
    asked = requested(run.path)
    assert asked is not None and asked.action == "stop"


def test_an_answered_request_is_not_left_for_the_next_attempt(tmp_path: Path) -> None:
    run = running(tmp_path)
    asked = checkpoint.ask(run)
    control.forget_answered(run, asked.t - 1)
    assert requested(run.path) == asked
    with closing(EventWriter(run.events_dir / checkpoint.RANK_0, rank=0)) as writer:
        writer.emit(Status, state="checkpointed", answers=asked.t)
        writer.emit(Status, state="running")
    control.forget_answered(run, read_progress(run, since=0.0).answered)
    assert requested(run.path) is None
    stop = control.request(run, "stop")
    control.forget_answered(run, stop.t)
    assert requested(run.path) == stop
