"""The keys of the live screen: zoom and pan, crosshair, axes, alerts, layouts, panes, leaving."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_cluster import FakeCluster
from fake_run import FakeRun
from textual.pilot import Pilot
from textual.widgets import Input

from engine.control import requested
from engine.events import CheckpointEvent, Status
from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.reader import RunReader
from rftui.tui.screens import live
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.logs import LogsScreen
from rftui.tui.settings import Settings
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.panel import Panel


def open_run(run: RunDir, **settings: object) -> RftuiApp:
    return RftuiApp(run.path.parent, run, settings=Settings(**settings))  # type: ignore[arg-type]


def screen(app: RftuiApp) -> LiveScreen:
    assert isinstance(app.screen, LiveScreen)
    return app.screen


def first_chart(app: RftuiApp) -> Chart:
    return app.screen.query(Chart).first()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Eight GPUs; rank 6 is late, and the clock stands."""
    fake = FakeCluster(tmp_path / "runs", "cluster", total=200, age_s=330)
    for _ in range(40):
        fake.step()
    fake.straggle(6)
    fake.alert("KL 0.3 exceeds 0.1")
    now = fake.now + 3
    monkeypatch.setattr(live, "reader_of", lambda context: RunReader(context.the_run, clock=lambda: now))
    yield fake


async def test_plus_and_minus_zoom_around_the_newest_step_and_zero_shows_all(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        assert first_chart(app).plot.x == (1.0, 300.0) or first_chart(app).plot.x == (0.0, 300.0)
        await pilot.press("+", "plus")
        await until(pilot, lambda: first_chart(app).plot.x == (225.0, 300.0))
        assert {c.plot.x for c in app.screen.query(Chart) if c.display} == {(225.0, 300.0)}
        await pilot.press("minus")
        await until(pilot, lambda: first_chart(app).plot.x == (150.0, 300.0))
        await pilot.press("0")
        await until(pilot, lambda: first_chart(app).plot.x[1] == 300.0 and first_chart(app).plot.x[0] < 2)


async def test_arrows_pan_zoomed_charts_and_f_follows_again(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        await pilot.press("plus", "plus")
        await until(pilot, lambda: first_chart(app).plot.x == (225.0, 300.0))
        await pilot.press("left", "left")
        await until(pilot, lambda: first_chart(app).plot.x == (187.5, 262.5))
        await pilot.press("right")
        await until(pilot, lambda: first_chart(app).plot.x == (206.25, 281.25))
        await pilot.press("f")
        await until(pilot, lambda: first_chart(app).plot.x == (225.0, 300.0))


async def test_the_crosshair_tells_step_and_value_in_all_charts(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        await pilot.press("c")
        text = await shows(pilot, "step 300: ")
        assert text.count("step 300: ") == 6
        await pilot.press("shift+left", "left")
        await until(pilot, lambda: "step 300: " not in screen_text(app))
        steps = {int(step) for step in re.findall(r"step (\d+): ", screen_text(app))}
        assert steps and all(150 <= step < 260 for step in steps)
        await pilot.press("escape")
        await until(pilot, lambda: "│  step" not in screen_text(app) and screen(app).look.cursor is None)


async def test_a_click_points_and_the_wheel_zooms(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        await pilot.click(Chart, offset=(20, 4))
        await until(pilot, lambda: screen(app).look.cursor is not None)
        cursor = screen(app).look.cursor
        assert cursor is not None and 100 < cursor < 180
        first_chart(app).post_message(Chart.Pointed(0.5, 1))
        await until(pilot, lambda: first_chart(app).plot.x[1] - first_chart(app).plot.x[0] < 160)


async def test_x_goes_through_steps_time_and_tokens(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        seen = []
        for axis in ("wall", "tokens", "step"):
            await pilot.press("x")
            await until(pilot, lambda axis=axis: first_chart(app).plot.axis == axis)  # type: ignore[misc]
            seen.append(first_chart(app).plot.x[1])
            text = screen_text(app)
            last = {"wall": r"\d\dm [─╯]", "tokens": r"\dM [─╯]", "step": " 300 [─╯]"}[axis]
            assert re.search(last, text)
        wall, tokens, steps = seen
        assert steps == 300
        assert 2000 < wall < 3000
        assert tokens > 1e7


async def test_g_is_logarithmic_for_the_focused_chart(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        await pilot.press("tab", "g")
        await shows(pilot, "KL to reference · log")
        assert "reward · log" not in screen_text(app)
        await pilot.press("g")
        await until(pilot, lambda: "log," not in screen_text(app) and " · log ─" not in screen_text(app))


async def test_arrows_go_from_chart_to_chart(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "finished")
        charts = [chart for chart in app.screen.query(Chart) if chart.display]
        charts[0].focus()
        await pilot.press("right", "down")
        await until(pilot, lambda: charts[4].has_focus)
        await pilot.press("up", "left")
        await until(pilot, lambda: charts[0].has_focus)


async def test_ranks_and_gpus_say_who_is_late(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await shows(pilot, "straggler: rank 6, 2 collectives behind in update; 7 ranks wait 17s")
        assert "6 ▂18%" in text and "! idle" in text
        await pilot.resize_terminal(160, 48)
        text = await shows(pilot, "6 ▲ late", "◌ waits", "8 GPUs", "headroom")
        assert re.search(r"6 ▲ late +update 3\.0s +40 +1600 +3\.0s +−2", text)


async def test_every_pane_can_fill_the_screen(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "straggler")
        for pane, wanted in {
            "phases": "idle",
            "gpus": " 7    ",
            "ranks": "all_reduce 1601",
            "sample": "#### 72",
            "notices": "KL 0.3 exceeds 0.1",
        }.items():
            panel = app.screen.query_one(f"#{pane}", Panel)
            panel.focus()
            await pilot.press("z")
            await until(pilot, lambda panel=panel: panel.is_maximized and panel.size.height >= 36)  # type: ignore[misc]
            assert wanted in screen_text(app), pane
            await pilot.press("down", "up", "pagedown", "pageup", "z")
            await until(pilot, lambda panel=panel: not panel.is_maximized)  # type: ignore[misc]


async def test_alerts_are_gone_through_in_full(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "n opens")
        await pilot.press("n")
        await shows(pilot, "alert 1 of 1", "policy.kl-high · step 40", "1. lower lr")
        copied: list[str] = []
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        await pilot.press("y")
        assert "policy.kl-high: KL 0.3 exceeds 0.1" in copied[0] and "→ lower lr" in copied[0]
        await pilot.press("N", "z")
        await until(pilot, lambda: app.screen.query_one("#alert", Panel).size.height > 30)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "alert 1 of 1" not in screen_text(app))
        app.screen.query_one("#notices").focus()
        await pilot.press("enter")
        await shows(pilot, "alert 1 of 1")


async def test_p_gives_room_to_gpus_then_to_texts(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "straggler")
        gpus, log = app.screen.query_one("#gpus"), app.screen.query_one("#log")
        before = gpus.size.height, log.size.height
        await pilot.press("p")
        await until(pilot, lambda: gpus.size.height + app.screen.query_one("#ranks").size.height > 20)
        await pilot.press("p")
        await until(pilot, lambda: log.size.height > before[1])
        await pilot.press("p")
        await until(pilot, lambda: (gpus.size.height, log.size.height) == before)


async def test_y_copies_the_focused_pane(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "straggler")
        copied: list[str] = []
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        app.screen.query_one("#ranks").focus()
        await pilot.press("y")
        app.screen.query_one("#log").focus()
        await pilot.press("y")
        assert "straggler: rank 6" in copied[0] and "step 40 reward" in copied[1]


async def test_detaching_tells_the_way_back(growing: FakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "running")
        await pilot.press("d")
    app._print_error_renderables()
    said = capsys.readouterr().err
    assert "growing keeps running" in said
    said = " ".join(said.split())
    assert "rft watch growing --runs-dir" in said


async def test_nothing_can_be_stopped_where_all_is_read_only(growing: FakeRun) -> None:
    app = open_run(growing.run, readonly=True)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await shows(pilot, "running", "d detach")
        assert "K stop" not in text
        await pilot.press("K")
        assert isinstance(app.screen, LiveScreen)


async def test_settings_decide_smoothing_and_refresh(growing: FakeRun) -> None:
    app = open_run(growing.run, smoothing=0.8, refresh_s=30.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 40/200")
        assert first_chart(app).plot.smoothing == 0.8
        growing.step()
        await pilot.pause(1.3)
        assert "step 40/200" in screen_text(app)
        seen = []
        for _ in range(4):
            await pilot.press("s")
            seen.append(first_chart(app).plot.smoothing)
        assert seen == [0.9, 0.0, 0.6, 0.8]


async def test_on_a_slow_line_charts_wait_and_the_status_does_not(growing: FakeRun) -> None:
    app = open_run(growing.run, slow=True, refresh_s=0.2)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 40/200")
        await until(pilot, lambda: bool(first_chart(app).plot.buckets))
        plot = first_chart(app).plot
        growing.step()
        await shows(pilot, "step 41/200")
        assert first_chart(app).plot == plot


async def test_out_of_sight_nothing_is_read(growing: FakeRun) -> None:
    app = open_run(growing.run, refresh_s=0.1)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 40/200")
        here = screen(app)
        await pilot.press("?")
        await pilot.pause(0.3)
        growing.step()
        await pilot.pause(0.5)
        assert here.snapshot is not None and here.snapshot.step == 40
        await pilot.press("escape")
        await shows(pilot, "step 41/200")


async def test_small_and_odd_terminals_show_what_fits(cluster: FakeCluster) -> None:
    app = open_run(cluster.run)
    async with app.run_test(size=(60, 16)) as pilot:
        text = await shows(pilot, "running", "rollout", "straggler", "step 40 reward")
        assert all(len(line) <= 60 for line in text.split("\n"))
        for size in ((20, 5), (1, 1), (240, 10), (60, 70)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)
        await pilot.resize_terminal(80, 24)
        await shows(pilot, "straggler", "q quit")


async def test_o_goes_from_an_alert_to_what_was_logged_when_it_was_raised(tmp_path: Path) -> None:
    growing = FakeRun(tmp_path / "runs", "growing", total=200, age_s=2000)
    for _ in range(40):
        growing.step()
    growing.alert("KL 0.3 exceeds 0.1")
    for _ in range(60):
        growing.step()
    app = open_run(growing.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 100/200", "n opens")
        await pilot.press("n", "o")
        await until(pilot, lambda: isinstance(app.screen, LogsScreen) and not app.screen.page.following)
        assert isinstance(app.screen, LogsScreen) and app.screen.page.row is not None
        assert app.screen.page.row.text.partition(" ")[2].startswith(("step 40 ", "step 41 "))


async def test_capital_c_asks_for_a_checkpoint_and_tells_the_answer(growing: FakeRun) -> None:
    app = open_run(growing.run, refresh_s=0.1)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "running")
        await pilot.press("C")
        await shows(pilot, "growing saves a checkpoint after its present step")
        asked = requested(growing.run.path)
        assert asked is not None and asked.action == "checkpoint"
        growing.step()
        growing._emit(0, Status, state="checkpointed", message="step 41 is saved", step=41, answers=asked.t)
        await shows(pilot, "growing: step 41 is saved")
        await pilot.press("C")
        await until(pilot, lambda: requested(growing.run.path) != asked)
        growing._emit(0, CheckpointEvent, step=41, state="complete")
        growing._emit(0, Status, state="finished", step=41)
        growing.end("finished")
        await shows(pilot, "growing: it has finished meanwhile, and step 41 is saved")
        await until(pilot, lambda: screen(app).check_action("checkpoint", ()) is False)


@pytest.mark.usefixtures("still_home")
async def test_what_is_answered_is_told_while_live_is_paused_and_elsewhere(growing: FakeRun) -> None:
    app = open_run(growing.run, refresh_s=0.1)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "running")
        await pilot.press("space", "C")
        await shows(pilot, "growing saves a checkpoint after its present step")
        asked = requested(growing.run.path)
        assert asked is not None
        said = "step 40 could not be saved"
        growing._emit(0, Status, state="running", message=said, step=40, answers=asked.t)
        await shows(pilot, said)
        await pilot.press("C")
        await until(pilot, lambda: requested(growing.run.path) != asked)
        asked = requested(growing.run.path)
        assert asked is not None
        await app.open_area("home")
        growing._emit(0, Status, state="checkpointed", message="step 41 is saved", step=41, answers=asked.t)
        await shows(pilot, "home", "growing: step 41 is saved")
        await app.open_area("live")
        await pilot.press("C")
        await until(pilot, lambda: requested(growing.run.path) != asked)


async def test_readonly_and_a_replay_ask_for_no_checkpoint(growing: FakeRun) -> None:
    app = open_run(growing.run, readonly=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "running")
        await pilot.press("C")
        await pilot.pause(0.3)
        assert screen(app).check_action("checkpoint", ()) is False
    assert requested(growing.run.path) is None


async def test_an_alert_shows_the_steps_around_it_and_gives_them_back(cluster: FakeCluster) -> None:
    for _ in range(20):
        cluster.step()
    cluster.alert("it is high again", id="policy.entropy-low")
    app = open_run(cluster.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 60/200")
        await pilot.press("x", "plus")
        await until(pilot, lambda: first_chart(app).plot.axis == "wall")
        before = screen(app).look
        await pilot.press("n")
        await until(pilot, lambda: first_chart(app).plot.axis == "step")
        seen = set()
        for _ in screen(app).snapshot.notices:  # type: ignore[union-attr]
            step = int(re.search(r"· step (\d+)", screen_text(app))[1])  # type: ignore[index]
            end = min(60, step + 5)
            await until(pilot, lambda end=end: first_chart(app).plot.x == (end - 10, end))  # type: ignore[misc]
            assert first_chart(app).plot.cursor == step
            seen.add(step)
            await pilot.press("n")
            await pilot.pause(0.1)
        assert seen == {40, 60}
        await pilot.press("escape")
        await until(pilot, lambda: first_chart(app).plot.axis == "wall")
        assert screen(app).look == before
        assert screen(app).alert_at is None


async def written(pilot: Pilot[None], path: Path) -> None:
    await pilot.press("e")
    await shows(pilot, "Write points, chart and numbers to")
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")
    await until(pilot, lambda: path.with_name(f"{path.name}.md").exists())


async def test_e_writes_points_chart_and_numbers(finished: RunDir, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.path, runs / "watched")
    shutil.copytree(finished.path, runs / "earlier")
    app = open_run(RunDir(runs / "watched"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "step 300/300")
        await written(pilot, tmp_path / "out" / "alone")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        await pilot.press("enter")
        await shows(pilot, "· b earlier")
        await written(pilot, tmp_path / "out" / "both")
    lines = (tmp_path / "out" / "alone.csv").read_text().splitlines()
    assert sum(line.startswith("watched,reward/mean,") for line in lines) == 300
    assert not any(line.startswith("earlier,") for line in lines)
    assert "Settings that differ" not in (tmp_path / "out" / "alone.md").read_text()
    assert "| metric | a: watched | b: earlier |" in (tmp_path / "out" / "both.md").read_text()
    assert "b earlier" in (tmp_path / "out" / "both.svg").read_text()


async def test_a_run_of_the_same_name_elsewhere_is_written_as_itself(
    finished: RunDir, tmp_path: Path
) -> None:
    runs, watched = tmp_path / "runs", tmp_path / "elsewhere" / "same"
    shutil.copytree(finished.path, watched)
    other = FakeRun(runs, "same", total=4)
    for _ in range(4):
        other.step()
    other.end("finished")
    app = RftuiApp(runs, RunDir(watched))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await shows(pilot, "step 300/300")
        await pilot.press("b")
        await shows(pilot, "Which run behind the charts?")
        await pilot.press("enter")
        await shows(pilot, "· b same")
        await written(pilot, tmp_path / "out")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert sum(line.startswith(f"{watched},reward/mean,") for line in lines) == 300
    assert sum(line.startswith(f"{runs / 'same'},reward/mean,") for line in lines) == 4


async def test_readonly_writes_nothing(finished: RunDir) -> None:
    app = open_run(finished, readonly=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 300/300")
        await pilot.press("e")
        await pilot.pause(0.2)
        assert isinstance(app.screen, LiveScreen)


async def test_y_copies_the_values_of_the_focused_chart(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 300/300")
        first_chart(app).focus()
        await pilot.press("plus", "plus")
        await until(pilot, lambda: first_chart(app).plot.x == (225.0, 300.0))
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard.startswith("step\treward\n"))
        last = app.clipboard.splitlines()[-1].split("\t")
        assert last[0] == "300"
        assert f"{float(last[1]):.3f}" == first_chart(app).plot.value
