"""A finished run played again: nothing is known before its time, the end is the real one, the clock obeys."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import shows, until
from fake_run import FakeRun, finished_run
from terminal import Tmux
from textual.widgets import Input

from engine.findings import FindingsError
from rftui.runs.replay import ReplayClock, ReplayLog, ReplayView, StepTimes, time_of_step
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView
from rftui.tui.app import RftuiApp
from rftui.tui.curves import Wanted
from rftui.tui.replay_reader import ReplayReader
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.replay import ReplayScreen

pytestmark = pytest.mark.usefixtures("still_home")


class Real:
    """Seconds of the real world, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def real() -> Real:
    return Real()


def clock_of(run: RunDir, real: Callable[[], float], speed: float = 10) -> ReplayClock:
    info = run.read_info()
    assert info.started is not None and info.ended is not None
    return ReplayClock(info.started, info.ended, speed, real)


def test_the_clock_runs_pauses_jumps_and_ends(real: Real) -> None:
    clock = ReplayClock(1000.0, 2000.0, 10, real)
    real.now = 5
    assert clock() == 1050
    clock.set_speed(20)
    real.now = 6
    assert clock() == 1070
    clock.pause(True)
    real.now = 60
    assert clock() == 1070 and clock.paused
    clock.pause(False)
    real.now = 61
    assert clock() == 1090
    clock.jump(1500)
    assert clock() == 1500 and clock.rewinds == 0
    clock.jump(1200)
    assert clock() == 1200 and clock.rewinds == 1
    real.now = 1e9
    assert clock() == 2000 and clock.ended


def test_at_every_moment_it_is_as_if_live(tmp_path: Path, real: Real) -> None:
    fake, states = FakeRun(tmp_path, "run", total=20, ranks=3), []
    live = RunView(fake.run)
    for _ in range(20):
        fake.step()
        live.load()
        states.append((fake.now, live.step, dict(live.latest), live.step_seconds))
    fake.end("failed", "rank 0: boom", {"0": "boom"})
    clock = clock_of(fake.run, real)
    played = ReplayView(fake.run, clock)
    for now, step, latest, seconds in states[:-1]:
        clock.jump(now)
        played.load()
        assert (played.step, played.latest, played.step_seconds) == (step, latest, seconds)
        assert played.status == "running" and played.info.exit is None and played.info.ended is None
    clock.jump(clock.end)
    played.load()
    assert played.status == "failed" and played.step == 20
    assert played.info.exit is not None and played.info.exit.cause == "rank 0: boom"
    whole = RunView(fake.run).load()
    assert {n: list(s.values) for n, s in played.series.items()} == {
        n: list(s.values) for n, s in whole.series.items()
    }


def test_before_its_first_event_it_is_launching(tmp_path: Path, real: Real) -> None:
    run = finished_run(tmp_path, "run", steps=3)
    info = run.read_info()
    info.started = info.created = info.created - 30
    run.write_info(info)
    view = ReplayView(run, clock_of(run, real, speed=1)).load()
    assert view.status == "launching" and not view.ranks


def test_hours_without_any_event_are_passed_over(tmp_path: Path, real: Real) -> None:
    fake = FakeRun(tmp_path, "run", total=4)
    fake.step()
    before = fake.now
    fake.now += 7 * 3600
    fake.step()
    fake.end("finished")
    clock = clock_of(fake.run, real, speed=1)
    view = ReplayView(fake.run, clock)
    clock.jump(before + 1)
    view.load()
    view.load()
    assert clock() >= before + 7 * 3600 and view.step == 1


def test_a_jump_back_begins_anew(tmp_path: Path, real: Real) -> None:
    run = finished_run(tmp_path, "run", steps=30)
    clock = clock_of(run, real)
    reader = ReplayReader(run, clock)
    clock.jump(clock.end)
    while reader.advance():
        pass
    assert reader.look(Wanted()).step == 30
    early = time_of_step(run, 4)
    assert early is not None
    clock.jump(early)
    while reader.advance():
        pass
    seen = reader.look(Wanted())
    assert seen.step == 4 and seen.status == "running"
    assert time_of_step(run, 31) is None


def test_log_lines_come_when_they_are_due(tmp_path: Path) -> None:
    path = tmp_path / "rank-00000.log"
    begun = "strategy\nwarm-up step 5: loss 4\nstep 1 reward\n"
    path.write_text(f"{begun}step 2 reward\nsaved\nstep 3 reward\nTraceback\nboom\n")
    log = ReplayLog(path, keep=100)
    assert log.poll(0.0, 0, False) == []
    assert log.poll(0.0, 1, False) == ["strategy", "warm-up step 5: loss 4", "step 1 reward"]
    assert log.poll(0.0, 2, False) == ["step 2 reward"]
    assert log.poll(0.0, 3, False) == ["saved", "step 3 reward"]
    assert log.poll(0.0, 3, True) == ["Traceback", "boom"]


def test_a_dated_log_line_waits_for_its_time(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.log"
    path.write_text("2026-01-02 03:04:05 launching: attempt 1\n")
    due = time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))
    log = ReplayLog(path, keep=100)
    assert log.poll(due - 1, 0, False) == []
    assert log.poll(due, 0, False) == ["2026-01-02 03:04:05 launching: attempt 1"]


def test_steps_are_read_as_far_as_is_asked_for(tmp_path: Path) -> None:
    fake, times = FakeRun(tmp_path, "run", total=2000), []
    for _ in range(2000):
        fake.step()
        times.append(fake.now)
    fake.end("finished")
    steps, events = StepTimes(fake.run), fake.run.events_dir / "rank-00000.jsonl"
    assert events.stat().st_size > 1 << 19
    assert steps.at(times[0] - 1) == 0
    assert [steps.at(times[at]) for at in (9, 1999, 9, 999)] == [10, 2000, 10, 1000]
    early = StepTimes(fake.run)
    assert early.at(times[9]) == 10
    events.write_bytes(b"")
    assert early.at(times[19]) == 20 and early.at(times[1999]) < 2000, "the rest had not been read"


def test_what_cannot_be_played(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "on", total=4)
    with pytest.raises(FindingsError, match="still runs"):
        ReplayClock.of(fake.run, 20)
    fake.end("finished")
    with pytest.raises(FindingsError, match="0 times as fast"):
        ReplayClock.of(fake.run, 0)
    assert ReplayClock.of(fake.run, 20).end == fake.now


async def test_the_screen_plays_pauses_speeds_up_and_jumps(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=60)
    app = RftuiApp(tmp_path, run, speed=20)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        text = await shows(pilot, "replay ×20", "● running", "< slower")
        assert "✔ finished" not in text and "K stop" not in text
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        await pilot.press("greater_than_sign")
        await shows(pilot, "replay ×40")
        await pilot.press("less_than_sign", "less_than_sign")
        await shows(pilot, "replay ×10")
        await pilot.press("space")
        await shows(pilot, "replay ×10 paused")
        await pilot.press("J", *"31", "enter")
        await shows(pilot, "step 31/60")
        await pilot.press("J", *"7", "enter")
        await shows(pilot, "step 7/60")
        assert screen.clock.paused
        await pilot.press("J", *"99", "enter")
        await shows(pilot, "did not get as far as step 99")
        screen.clock.set_speed(10_000)
        await pilot.press("space")
        await shows(pilot, "at its end", "✔ finished", "step 60/60")


async def test_what_is_written_ends_where_the_replay_is(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=60)
    app = RftuiApp(tmp_path, run, speed=1)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "replay ×1")
        await pilot.press("space", "J", *"31", "enter")
        await shows(pilot, "step 31/60", "paused")
        await pilot.press("e")
        await shows(pilot, "Write points, chart and numbers to", "whole and linear")
        app.screen.query_one(Input).value = str(tmp_path / "out")
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "out.md").exists())
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert sum(line.startswith("run,reward/mean,") for line in lines) == 31


async def test_opened_from_a_list_a_run_is_no_replay(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=5)
    app = RftuiApp(tmp_path, run, speed=20)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "replay ×20")
        await app.open_run(run)
        await until(pilot, lambda: type(app.screen) is LiveScreen)
        text = await shows(pilot, "✔ finished", "step 5/5")
        assert "replay" not in text


RFT = "from rftui.cli.app import main; main()"


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    finished_run(tmp_path, "run", steps=3)
    command = [sys.executable, "-c", RFT, "replay", "run", "--runs-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "rft watch run --plain" in done.stderr


def test_in_a_real_terminal(tmp_path: Path) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    finished_run(tmp_path, "run", steps=60)
    command = f"{sys.executable} -c '{RFT}' replay run --speed 50 --runs-dir {tmp_path}"
    tmux = Tmux((80, 24), command, os.environ)
    try:
        screen = tmux.shows("replay ×50", "● running", "step 2")
        assert screen.split("\n")[0].startswith("  replay ×50 ")
        tmux.press("q")
        tmux.shows("$ left")
    finally:
        tmux.close()


async def test_leaving_a_replay_does_not_say_that_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished_run(tmp_path, "run", steps=60)
    app = RftuiApp(tmp_path, run, speed=20)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "replay ×20", "● running")
        await pilot.press("d")
    app._print_error_renderables()
    said = " ".join(capsys.readouterr().err.split())
    assert "keeps running" not in said and f"rft replay run --runs-dir {tmp_path} --speed 20" in said
