"""What a run's events add up to, over real files: live, finished, resumed, damaged and long runs."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.events import (
    Alert,
    CheckpointEvent,
    Collective,
    EventWriter,
    Gpu,
    Heartbeat,
    Host,
    Memory,
    Metric,
    Phase,
    Sample,
    Status,
)
from engine.findings import Finding
from rftui.runs import rundir
from rftui.runs.info import RunInfo, started_after_boot
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = rundir.create(tmp_path, "one")
    made.write_info(RunInfo(name="one", status="finished", created=1.0, total_steps=50))
    return made


def writer(run: RunDir, rank: int = 0) -> EventWriter:
    return EventWriter(run.events_dir / f"rank-{rank:05}.jsonl", rank=rank, world_size=2, host="h")


def emit_steps(out: EventWriter, first: int, last: int, offset: float = 0.0) -> None:
    for step in range(first, last + 1):
        out.write(Metric(t=100.0 + step, rank=0, step=step, values={"reward/mean": step + offset}))


def points(view: RunView, name: str) -> list[tuple[int, float]]:
    return list(zip(view.series[name].steps, view.series[name].values, strict=True))


def test_every_kind_ends_up_where_screens_look(run: RunDir) -> None:
    view = RunView(run)
    assert view.refresh() and not view.refresh() and view.step == 0 and view.total_steps == 50
    zero, one = writer(run), writer(run, 1)
    zero.emit(Status, state="training", message="go", total_steps=60)
    zero.emit(Phase, step=1, name="rollout", state="begin")
    assert view.refresh()
    assert (view.ranks[0].phase, view.ranks[0].step, view.ranks[0].status) == ("rollout", 1, "training")
    zero.emit(Phase, step=1, name="rollout", state="end", seconds=1.5)
    zero.emit(Phase, step=1, name="rollout", state="end", seconds=0.5)
    zero.emit(Phase, step=1, name="update", state="end", seconds=2.0)
    one.emit(Phase, step=1, name="update", state="end", seconds=99.0)
    one.emit(Memory, step=1, phase="update", rss=7, allocated=2, peak=5)
    one.emit(Memory, step=1, phase="rollout", rss=7, allocated=1, peak=3)
    one.emit(Collective, step=1, group="all", op="all_reduce", size=4, seconds=0.1)
    one.emit(Heartbeat, step=2, phase="update")
    zero.emit(Metric, step=1, values={"reward/mean": 0.25, "kl/ref": float("nan")})
    zero.emit(Sample, step=1, prompt="p", response="r", reward=1.0)
    zero.emit(CheckpointEvent, step=1, state="complete", path="step-1", bytes=10)
    zero.emit(CheckpointEvent, step=2, state="failed", message="No space left on device")
    out = Finding(id="loss.nan", severity="error", cause="x")
    one.emit(Alert, state="raised", finding=out, step=1)
    one.emit(Alert, state="raised", finding=Finding(id="kl.high", severity="warning", cause="y"))
    host = EventWriter(run.events_dir / "host-h.jsonl")
    for used in (1, 2):
        host.emit(Gpu, host="h", index=3, name="H200", memory_used=used, utilization=None)
    host.emit(Host, host="h", cpu=5.0, memory_used=1, memory_total=2, disk_free=3)
    assert view.refresh()
    assert view.phase_totals == {1: {"rollout": 2.0, "update": 2.0}} and view.total_steps == 60
    rank = view.ranks[1]
    assert (rank.phase, rank.step, rank.collectives, rank.memory_peak) == ("update", 2, 1, 5)
    assert rank.memory is not None and rank.memory.allocated == 1 and rank.header is not None
    assert sorted(view.ranks) == [0, 1]
    assert view.latest["reward/mean"] == 0.25 and math.isnan(view.latest["kl/ref"])
    assert [s.response for s in view.samples] == ["r"]
    assert list(view.checkpoints) == [1] and view.state.failed_checkpoint is not None
    assert sorted(view.alerts) == ["kl.high", "loss.nan"]
    assert view.gpus["h", 3].memory_used == 2 and len(view.state.gpu_history["h", 3]) == 2
    assert view.state.hosts["h"].disk_free == 3
    one.emit(Alert, state="cleared", finding=out)
    zero.emit(CheckpointEvent, step=1, state="deleted")
    zero.emit(CheckpointEvent, step=3, state="complete")
    view.refresh()
    assert list(view.alerts) == ["kl.high"] and len(view.state.alert_log) == 3
    assert list(view.checkpoints) == [3] and view.state.failed_checkpoint is None


@pytest.mark.parametrize("live", [True, False])
def test_resumed_run_replaces_what_came_after_its_checkpoint(run: RunDir, live: bool) -> None:
    view = RunView(run)
    first = writer(run)
    emit_steps(first, 1, 9)
    first.write(Metric(t=109.5, rank=0, step=9, values={"eval/accuracy": 0.9}))
    first.write(Metric(t=104.5, rank=0, step=9, values={"other": 1.0}))
    for step in (4, 9):
        first.emit(Sample, step=step, prompt="", response=f"{step}", reward=0.0)
        first.emit(Phase, step=step, name="update", state="end", seconds=1.0)
    first.close()
    if live:
        view.refresh()
        assert view.step == 9
    second = writer(run)
    second.emit(Status, state="resumed", step=5)
    second.write(Metric(t=200.0, rank=0, step=5, values={"eval/accuracy": 0.5}))
    emit_steps(second, 6, 7, offset=0.5)
    second.emit(Phase, step=6, name="update", state="end", seconds=2.0)
    view.refresh()
    assert points(view, "reward/mean") == [*((s, float(s)) for s in range(1, 6)), (6, 6.5), (7, 7.5)]
    assert points(view, "eval/accuracy") == [(5, 0.5)] and "other" not in view.series
    assert view.step == 7 and view.latest["reward/mean"] == 7.5
    assert [s.step for s in view.samples] == [4]
    assert view.phase_totals == {4: {"update": 1.0}, 6: {"update": 2.0}}


def test_restart_that_says_nothing_rewinds_at_its_first_metric(run: RunDir) -> None:
    first = writer(run)
    emit_steps(first, 1, 9)
    first.write(Metric(t=109.5, rank=0, step=9, values={"eval/accuracy": 0.9}))
    second = writer(run)
    emit_steps(second, 4, 4, offset=0.5)
    view = RunView(run)
    view.refresh()
    assert points(view, "reward/mean") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.5)]
    assert "eval/accuracy" not in view.series and view.step == 4
    second.write(Metric(t=300.0, rank=0, step=3, values={"late": 1.0}))
    view.refresh()
    assert view.step == 4 and points(view, "late") == [(3, 1.0)]


def test_absurd_steps_and_metrics_of_other_ranks_are_left_out(run: RunDir) -> None:
    out = writer(run)
    emit_steps(out, 1, 2)
    for step in (-1, 2**31, 2**62):
        out.write(Metric(t=1.0, rank=0, step=step, values={"reward/mean": 9.0}))
    writer(run, 1).emit(Metric, step=1, values={"reward/mean": 9.0})
    view = RunView(run)
    view.refresh()
    assert points(view, "reward/mean") == [(1, 1.0), (2, 2.0)]


def test_status_lost_and_stalled(run: RunDir) -> None:
    now = 1000.0
    info = RunInfo(name="one", status="running", created=1.0, supervisor_pid=os.getpid())
    run.write_info(info)
    view = RunView(run, clock=lambda: now)
    out = writer(run)
    out.write(Phase(t=900.0, rank=0, step=0, name="load", state="begin"))
    view.refresh()
    assert view.status == "running"  # how long a first step may take is not known
    for step, t in ((1, 910.0), (2, 915.0), (3, 920.0)):
        out.write(Metric(t=t, rank=0, step=step, values={}))
    view.refresh()
    assert view.step_seconds == 5.0 and view.status == "stalled"
    out.write(Phase(t=925.0, rank=0, step=3, name="eval", state="end", seconds=40.0))
    out.write(Phase(t=930.0, rank=0, step=6, name="eval", state="begin"))
    assert view.refresh() and view.status == "running"  # this phase took 40 s before: 120 s is patience
    now = 1051.0
    assert view.refresh() and view.status == "stalled"
    info.supervisor_started = started_after_boot(os.getpid()) - 1
    run.write_info(info)
    assert view.refresh() and view.status == "lost"


def test_missing_then_damaged_run_json(run: RunDir) -> None:
    run.info_path.unlink()
    view = RunView(run)
    view.refresh()
    assert str(run.info_path) in view.info_problem and view.info.name == "one"
    emit_steps(writer(run), 1, 2)
    view.refresh()
    assert view.info_problem == "" and view.step == 2 and view.status == "stalled"
    run.write_info(RunInfo(name="one", status="stopped", created=2.0))
    assert view.refresh() and view.info_problem == "" and view.status == "stopped"
    run.info_path.write_text("{")
    assert view.refresh() and str(run.info_path) in view.info_problem and view.status == "stopped"
    assert not view.refresh()


def test_long_run_shows_its_end_first_then_everything(run: RunDir) -> None:
    out = writer(run)
    names = [f"group/metric_{i}" for i in range(10)]
    for step in range(1, 20_001):
        out.write(Metric(t=float(step), rank=0, step=step, values=dict.fromkeys(names, step / 3)))
    view = RunView(run)
    view.refresh(0.0)
    assert not view.complete and view.behind > 0
    while view.step < 20_000:
        view.refresh(0.0)
    assert not view.complete and len(view.series["group/metric_0"]) < 20_000 and view.ranks[0].header
    out.write(Metric(t=20_001.0, rank=0, step=20_001, values={"new": 1.0}))
    while not view.complete:
        view.refresh(0.005)
    assert view.step == 20_001 and len(view.series["group/metric_9"]) == 20_000
    assert points(view, "new") == [(20_001, 1.0)] and view.skipped == 0 and view.behind == 0
    assert len(RunView(run).load().series["group/metric_0"]) == 20_000


MEASURE = """
import sys, time, psutil
from pathlib import Path
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
me = psutil.Process()
before, begin = me.memory_info().rss, time.perf_counter()
view = RunView(RunDir(Path(sys.argv[1])))
view.refresh(0.05)
first, step = time.perf_counter() - begin, view.step
view.load()
for series in view.series.values():
    series.window(*series.bounds(), 240)
print(first, step, time.perf_counter() - begin, me.memory_info().rss - before)
assert "numpy" not in sys.modules and "textual" not in sys.modules
"""


@pytest.mark.alone
def test_a_million_points_open_within_the_targets(run: RunDir) -> None:
    out = writer(run)
    names = [f"group/metric_{i}" for i in range(20)]
    for step in range(1, 50_001):
        out.write(Metric(t=float(step), rank=0, step=step, values=dict.fromkeys(names, step / 3)))
    shown = subprocess.run(
        [sys.executable, "-c", MEASURE, run.path], capture_output=True, text=True, check=True
    )
    first, step, complete, memory = map(float, shown.stdout.split())
    assert step == 50_000
    assert first <= 0.5 and complete <= 4.0, "measured 0.05 s and 0.6 s on an idle 2-core machine"
    assert memory <= 20e6, "measured 15 to 18 MB"


def test_follows_while_another_process_writes(run: RunDir) -> None:
    code = (
        "import sys, time; from pathlib import Path; from engine.events import EventWriter, Metric\n"
        "out = EventWriter(Path(sys.argv[1]), rank=0)\n"
        "for step in range(1, 301): out.emit(Metric, step=step, values={'a': step}); time.sleep(0.001)"
    )
    view, seen = RunView(run), set()
    with subprocess.Popen([sys.executable, "-c", code, run.events_dir / "rank-00000.jsonl"]) as child:
        while child.poll() is None:
            view.refresh()
            seen.add(view.step)
            time.sleep(0.01)
    view.refresh()
    assert points(view, "a") == [(s, float(s)) for s in range(1, 301)] and len(seen) > 5
