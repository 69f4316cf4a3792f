"""The list of runs: what it tells of runs in every condition, from little of their files."""

import os
import time
from pathlib import Path

from engine.events import EventWriter, Heartbeat, Metric, Phase, Sample, Status
from rftui.runs import rundir
from rftui.runs.info import RunInfo, RunStatus
from rftui.runs.listing import list_runs
from rftui.runs.rundir import RunDir


def make(runs_dir: Path, name: str, status: RunStatus = "finished", **fields: object) -> RunDir:
    run = rundir.create(runs_dir, name)
    run.write_info(RunInfo(name=name, status=status, **{"created": 1.0} | fields))  # type: ignore[arg-type]
    return run


def writer(run: RunDir) -> EventWriter:
    return EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)


def test_newest_first_with_the_last_reward(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        out = writer(make(tmp_path, name, created=100.0 - age, preset="p", nproc=2, total_steps=9))
        for step in (1, 2, 3):
            out.emit(Metric, step=step, values={"reward/mean": step / 4, "kl/ref": 0.0})
        out.emit(Metric, step=3, values={"eval/accuracy": 0.5})
        out.emit(Sample, step=3, prompt='"reward/mean":7', response="", reward=1.0)
    runs = list_runs(tmp_path, now=200.0)
    assert [r.name for r in runs] == ["a", "b", "c"]
    assert (runs[0].step, runs[0].total_steps, runs[0].reward) == (3, 9, 0.75)
    assert (runs[0].preset, runs[0].nproc, runs[0].path) == ("p", 2, tmp_path / "a")


def test_folders_that_are_no_runs_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "alien").mkdir()
    (tmp_path / "file.txt").write_text("x")
    make(tmp_path, "empty")
    damaged = make(tmp_path, "damaged")
    damaged.info_path.write_bytes(b"\xff{")
    dangling = make(tmp_path, "no-events")
    dangling.events_dir.rmdir()
    by_name = {r.name: r for r in list_runs(tmp_path)}
    assert sorted(by_name) == ["damaged", "empty", "no-events"]
    assert by_name["damaged"].status == "unreadable" and "damaged/run.json" in by_name["damaged"].problem
    assert by_name["empty"].reward is None and by_name["empty"].step == 0
    assert list_runs(tmp_path / "nowhere") == []


def test_torn_end_and_null_reward_and_recorded_steps(tmp_path: Path) -> None:
    run = make(tmp_path, "torn", steps=8)
    out = writer(run)
    out.emit(Metric, step=4, values={"reward/mean": float("nan")})
    with (run.events_dir / "rank-00000.jsonl").open("ab") as file:
        file.write(b'{"kind":"metric","t":1,"rank":0,"step":5,"values":{"reward/mean":0.5')
    without = make(tmp_path, "without", steps=8)
    writer(without).emit(Metric, step=8, values={"other": 1.0})
    found = {r.name: (r.step, r.reward) for r in list_runs(tmp_path)}
    assert found == {"torn": (4, None), "without": (8, None)}


def test_reward_far_from_the_end_is_found_and_the_file_is_not_read_whole(tmp_path: Path) -> None:
    run = make(tmp_path, "long")
    out = writer(run)
    out.emit(Metric, step=1, values={"reward/mean": 0.1})
    out.emit(Sample, step=1, prompt="p" * 4_000_000, response="", reward=0.0)
    assert list_runs(tmp_path)[0].reward is None  # more than a megabyte back: not looked for
    out.emit(Metric, step=2, values={"reward/mean": 0.2})
    out.emit(Sample, step=2, prompt="p" * 500_000, response="", reward=0.0)
    assert (list_runs(tmp_path)[0].step, list_runs(tmp_path)[0].reward) == (2, 0.2)


def test_live_lost_and_stalled_runs(tmp_path: Path) -> None:
    now = time.time()
    live = writer(make(tmp_path, "live", "running", supervisor_pid=os.getpid()))
    live.emit(Status, state="training", total_steps=77)
    stalled = writer(make(tmp_path, "stalled", "running", supervisor_pid=os.getpid()))
    for step in range(1, 2000):
        for out, delay in ((live, 0.0), (stalled, 100.0)):
            t = now - delay - 0.01 * (2000 - step)
            out.write(Metric(t=t, rank=0, step=step, values={"reward/mean": 1.0, "pad" * 50: 0.0}))
    stalled.write(Phase(t=now - 100, rank=0, step=2000, name="rollout", state="begin"))
    stalled.write(Heartbeat(t=now - 1, rank=0, step=2000, phase="rollout"))
    make(tmp_path, "lost", "running", supervisor_pid=os.getpid(), supervisor_started=1.0)
    make(tmp_path, "planned", "planned", supervisor_pid=os.getpid())
    make(tmp_path, "abandoned", "planned", supervisor_pid=os.getpid(), supervisor_started=1.0)
    found = {r.name: (r.status, r.step, r.total_steps) for r in list_runs(tmp_path, now)}
    assert found == {
        "live": ("running", 1999, 77),
        "stalled": ("stalled", 1999, None),
        "lost": ("lost", 0, None),
        "planned": ("planned", 0, None),
        "abandoned": ("lost", 0, None),
    }
