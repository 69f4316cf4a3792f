"""The checklist of a launch, read from a run's directory that grows."""

import time
from pathlib import Path

from fake_run import FakeRun, finished_run

from engine.events import Metric, Phase, Status
from engine.findings import Finding, FindingsError
from rftui.tui.planning.checklist import checklist
from rftui.tui.planning.earlier import earlier
from rftui.tui.planning.starting import NAMES, Earlier, StartFollower, not_started, refused


def launching(tmp_path: Path, ranks: int = 2) -> FakeRun:
    fake = FakeRun(tmp_path, "starting", ranks=ranks, age_s=10)
    for file in fake.run.events_dir.iterdir():
        file.unlink()
    fake.writers.clear()
    return fake


def join(fake: FakeRun, rank: int) -> None:
    from engine.events import EventWriter

    fake.log(rank, "hello")
    fake.writers.append(
        EventWriter(fake.run.events_dir / f"rank-{rank:05d}.jsonl", rank=rank, world_size=fake.ranks)
    )


def states(starting: object) -> dict[str, str]:
    return {step.name: step.state for step in starting.steps}  # type: ignore[attr-defined]


def test_steps_are_ticked_off_as_the_directory_tells_of_them(tmp_path: Path) -> None:
    fake = launching(tmp_path)
    follower = StartFollower(fake.run, time.time() - 10)
    fake.info.launcher_pid = 42
    fake.info.command = ["torchrun", "--master-port", "29511"]
    fake.run.write_info(fake.info)
    told = follower.poll()
    assert states(told)["ranks joined"] == "doing"
    assert f"pid {fake.info.supervisor_pid}, port 29511" in checklist(told, 80).plain
    join(fake, 0)
    told = follower.poll()
    said = next(step.said for step in told.steps if step.name == "ranks joined")
    assert said.startswith("1/2 started, 1/2 in the process group")
    join(fake, 1)
    assert states(follower.poll())["weights loaded"] == "doing"
    writer = fake.writers[0]
    writer.emit(Status, state="warmup", message="0.4 accurate")
    assert "0.4 accurate" in checklist(follower.poll(), 80).plain
    writer.emit(Status, state="loaded")
    assert states(follower.poll())["rollout engine"] == "doing"
    writer.emit(Phase, step=0, name="load", state="end")
    writer.emit(Phase, step=1, name="rollout", state="begin")
    assert states(follower.poll())["first rollout"] == "doing"
    writer.emit(Phase, step=1, name="rollout", state="end")
    writer.emit(Metric, step=0, values={"eval/accuracy": 0.5})
    assert not follower.poll().first_step, "an evaluation before it is no step"
    writer.emit(Metric, step=1, values={"reward/mean": 0.5})
    told = follower.poll()
    assert told.first_step and not told.failed
    assert set(states(told).values()) == {"done"}
    assert list(states(told)) == list(NAMES)


def test_a_failure_names_its_cause_and_the_step_it_happened_in(tmp_path: Path) -> None:
    fake = launching(tmp_path, ranks=1)
    join(fake, 0)
    fake.info.launcher_pid = 42
    fake.end("failed", "rank 0: exit code 1: ValueError: boom")
    told = StartFollower(fake.run, time.time() - 10).poll()
    assert told.failed and told.cause == "rank 0: exit code 1: ValueError: boom"
    assert states(told)["weights loaded"] == "failed"
    assert "✖ rank 0: exit code 1: ValueError: boom" in checklist(told, 80).plain


def test_a_run_that_fails_after_its_first_step_has_started(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "later", age_s=10)
    fake.step()
    fake.end("failed", "killed")
    told = StartFollower(fake.run, time.time() - 10).poll()
    assert told.first_step and not told.failed


def test_it_is_held_against_the_newest_launch_of_the_preset_that_came_as_far(tmp_path: Path) -> None:
    finished_run(tmp_path, "older", steps=3, age_s=9000)
    finished_run(tmp_path, "newer", steps=3, age_s=500)
    finished_run(tmp_path, "more-ranks", steps=3, age_s=100, ranks=4)
    fake = launching(tmp_path)
    FakeRun(tmp_path, "never-began", age_s=20)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    before = earlier(fake.run)
    assert before is not None and before.run == "newer"
    assert before.seconds.keys() >= {"ranks joined", "first rollout", "first step"}
    assert "preflight" not in before.seconds
    before = Earlier("newer", {"ranks joined": 2.0, "first rollout": 5.1})
    began = fake.info.created - 100  # the checks took so long: they are on neither side
    told = StartFollower(fake.run, began, before, clock=lambda: fake.info.created + 10).poll()
    text = checklist(told, 80).plain.split("\n")
    assert text[0].split() == ["now", "before"]
    rollout = next(line for line in text if "first rollout" in line)
    assert rollout.split() == ["○", "first", "rollout", "5.1s"] and all(len(line) <= 80 for line in text)
    assert text[-1].split() == ["10s", "7.1s", "without", "preflight;", "before:", "newer"]


def test_the_first_launch_is_held_against_nothing(tmp_path: Path) -> None:
    fake = launching(tmp_path)
    assert earlier(fake.run) is None
    assert "before" not in checklist(StartFollower(fake.run, time.time()).poll(), 80).plain


def test_what_is_refused_before_it_starts_is_told_as_the_first_step() -> None:
    error = FindingsError([Finding("a.b", "error", "the disk is full."), Finding("c.d", "error", "and more")])
    told = refused(not_started(time.time()), error)
    assert states(told)["preflight"] == "failed"
    assert told.cause == "the disk is full." and told.evidence == ("and more",)
    assert told.run is None
