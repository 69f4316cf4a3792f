"""The live screen, driven by keys: what it shows of a run at several sizes, and what each key changes."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun

from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.keys import APP_KEYS
from rftui.tui.screens.help import HelpScreen
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.live_keys import LIVE_KEYS
from rftui.tui.screens.runs import RunsScreen
from rftui.tui.screens.runs_keys import RUNS_KEYS
from rftui.tui.screens.stop import StopDialog
from rftui.tui.widgets.chart import Chart
from rftui.tui.widgets.log_tail import LogTail
from rftui.tui.widgets.panel import Panel


def open_run(run: RunDir) -> RftuiApp:
    return RftuiApp(run.path.parent, run)


def charts(app: RftuiApp) -> list[str]:
    return [c.metric.title for c in app.screen.query(Chart) if c.display and c.metric]


@pytest.mark.parametrize(
    ("size", "count"), [((80, 24), 2), ((120, 40), 6), ((160, 48), 6), ((200, 60), 12), ((300, 24), 4)]
)
async def test_everything_important_is_on_the_screen_at_every_size(
    finished: RunDir, size: tuple[int, int], count: int
) -> None:
    app = open_run(finished)
    async with app.run_test(size=size) as pilot:
        text = await shows(pilot, "✔ finished", "step 300/300", "2 ranks", "reward 0.")
        assert charts(app)[:2] == ["reward", "KL to reference"]
        assert len(charts(app)) == count
        assert text.count("╭─ ") >= count
        assert len(re.findall("[\u2801-\u28ff]", text)) > 20 * count
        assert "rollout" in text
        assert re.search(r"6\d%", text)
        assert re.search(r"0 .*91%.* 20(G|/24G)", text)
        assert "step 300 reward 0." in text
        assert all(len(line) <= size[0] for line in text.split("\n"))
        assert "q quit" in text


async def test_a_screen_too_small_for_charts_still_shows_the_status(finished: RunDir) -> None:
    async with open_run(finished).run_test(size=(30, 8)) as pilot:
        await shows(pilot, "finished")


async def test_pages_turn_around_the_ends(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "KL to reference")
        await pilot.press(".")
        await shows(pilot, "entropy", "clipped high")
        assert "KL to reference" not in screen_text(app)
        await pilot.press(",", ",")
        last = charts(app)
        assert "reward" not in last
        await pilot.press(".")
        await until(pilot, lambda: charts(app) == ["reward", "KL to reference"])


async def test_unknown_metrics_get_charts_of_their_own_after_the_known_ones(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "own", total=10)
    fake.step()
    app = open_run(fake.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 1/10")
        await pilot.press(",")
        await until(pilot, lambda: charts(app)[-1] == "time/update")


async def test_zoom_fills_the_screen_with_the_focused_pane_and_goes_back(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "response length")
        await pilot.press("tab", "z")
        await until(pilot, lambda: "response length" not in screen_text(app))
        text = await shows(pilot, "KL to reference", "finished")
        zoomed = next(c for c in app.screen.query(Chart) if c.metric and c.metric.name == "kl/ref")
        assert zoomed.size.width == 120
        assert zoomed.size.height > 34
        assert len(re.findall("[\u2801-\u28ff]", text)) > 200
        await until(pilot, lambda: zoomed.plot.columns == zoomed.columns)
        await pilot.press("escape")
        await shows(pilot, "response length", "rollout")
        app.screen.query_one(LogTail).focus()
        await pilot.press("z")
        await until(pilot, lambda: screen_text(app).count(" reward 0.") > 25)


async def test_smoothing_goes_round(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "finished")
        chart = app.screen.query(Chart).first()
        seen = [chart.plot.smoothing]
        for _ in range(3):
            await pilot.press("s")
            seen.append(chart.plot.smoothing)
        assert seen == [0.6, 0.9, 0.0, 0.6]


async def test_a_growing_run_is_followed(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "● running", "step 40/200", "4/4 ranks", "ETA", "20%")
        growing.step()
        growing.log(0, "Epoch done")
        await shows(pilot, "step 41/200", "Epoch done")
        growing.alert("KL 0.3 exceeds 0.1")
        await shows(pilot, "!1", "policy.kl-high: KL 0.3 exceeds 0.1")
        growing.end("finished")
        await shows(pilot, "✔ finished")
        assert "K stop" not in screen_text(app)


async def test_a_run_without_a_step_says_that_it_waits(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "fresh", total=10, age_s=1)
    async with open_run(fake.run).run_test(size=(120, 40)) as pilot:
        await shows(
            pilot, "● running", "waiting for the first step", "reward", "tokens/s", "nothing logged yet"
        )


async def test_pause_holds_the_picture_and_catches_up(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "step 40/200")
        await pilot.press("space")
        for _ in range(3):
            growing.step()
        text = await shows(pilot, "paused +3")
        assert "step 40/200" in text
        assert "step 43 reward" not in text
        await pilot.press("space")
        text = await shows(pilot, "step 43/200", "step 43 reward")
        assert "paused" not in text


async def test_pages_turn_while_paused(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "step 40/200")
        await pilot.press("space", ".")
        await until(pilot, lambda: bool(app.screen.query(Chart).first().plot.buckets))
        await shows(pilot, "paused", "entropy")


async def test_foreign_text_cannot_harm_the_screen(growing: FakeRun) -> None:
    growing.log(
        0, "[rank0]: [red]not markup[/] \x1b[31mcolour\x1b[0m \x07bell\x9b2J 100%|\x00███| [/nonsense"
    )
    growing.log(0, "x" * 20_000)
    growing.log(0, "10%\r50%\r99% done")
    app = open_run(growing.run)
    async with app.run_test(size=(160, 48)) as pilot:
        text = await shows(pilot, "[rank0]: [red]not markup[/] colour bell", "[/nonsense", "xxx", "99% done")
        assert "\x1b" not in text
        assert "50%" not in text.replace(" 50%", "")
        assert max(len(line.text) for line in app.screen.query_one(LogTail).lines) <= 4096


async def test_log_of_all_ranks_and_scrolling_back(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "rank 0 · following", "step 40 reward")
        assert {line.rank for line in app.screen.query_one(LogTail).lines} == {0}
        await pilot.press("l")
        await shows(pilot, "all ranks · following")
        growing.log(3, "hello from rank three")
        await shows(pilot, "hello from rank three")
        app.screen.query_one(LogTail).focus()
        await pilot.press("up", "pageup")
        await until(pilot, lambda: "hello from rank three" not in screen_text(app))
        await shows(pilot, "lines before the end")
        growing.log(0, "unseen as yet")
        await until(pilot, lambda: app.screen.query_one(LogTail).lines[-1].text.endswith("unseen as yet"))
        assert "unseen as yet" not in screen_text(app)
        await pilot.press("end")
        await shows(pilot, "unseen as yet", "all ranks · following")


async def test_resizing_changes_the_layout_in_place(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "finished", "KL to reference")
        await pilot.resize_terminal(160, 48)
        await until(pilot, lambda: len(charts(app)) == 6)
        await until(
            pilot, lambda: all(c.plot.columns == c.columns for c in app.screen.query(Chart) if c.display)
        )
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(charts(app)) == 2)
        text = await shows(pilot, "finished", "q quit")
        assert all(len(line) <= 80 for line in text.split("\n"))


async def test_every_theme_paints(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "finished")
        seen = []
        for _ in range(3):
            chart = app.screen.query(Chart).first()
            seen.append((app.theme, chart.style_of("line").color))
            await pilot.press("t")
        assert len(set(seen)) == 3
        app.theme = "ansi-dark"
        await shows(pilot, "finished", "KL to reference")


async def test_help_lists_every_key_of_the_screen(finished: RunDir) -> None:
    app = open_run(finished)
    async with app.run_test(size=(120, 80)) as pilot:
        await shows(pilot, "finished")
        await pilot.press("?")
        assert isinstance(app.screen, HelpScreen)
        text = await shows(pilot, "keys", "esc closes")
        for key in (*LIVE_KEYS, *APP_KEYS):
            assert key.help[:50] in text
        await pilot.press("escape")
        assert isinstance(app.screen, LiveScreen)


def test_every_key_of_the_tables_has_an_action() -> None:
    for owner, keys in (
        (LiveScreen, LiveScreen.KEYS),
        (RunsScreen, RUNS_KEYS),
        (RftuiApp, APP_KEYS),
    ):
        for key in keys:
            name = key.action.removeprefix("app.").partition("(")[0]
            assert any(hasattr(c, f"action_{name}") for c in (owner, LogTail, Panel, RftuiApp)), key


async def test_leaving_says_that_the_run_goes_on(
    growing: FakeRun, finished: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "running")
        await pilot.press("q")
    app._print_error_renderables()
    assert "growing keeps running" in capsys.readouterr().err
    app = open_run(finished)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "finished")
        await pilot.press("q")
    app._print_error_renderables()
    assert "keeps running" not in capsys.readouterr().err


@pytest.mark.parametrize("key", ["q", "d"])
async def test_leaving_a_run_of_another_folder_says_commands_that_know_it(
    growing: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    app = RftuiApp(tmp_path / "others", growing.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "running")
        await pilot.press(key)
    app._print_error_renderables()
    assert f"rft watch growing --runs-dir {growing.run.path.parent}" in " ".join(
        capsys.readouterr().err.split()
    )


async def test_stop_after_this_step_writes_the_request(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "running")
        await pilot.press("K")
        await shows(pilot, "Stop growing?", "Stop after this step", "Kill now")
        await pilot.press("enter")
        await until(pilot, lambda: growing.run.control_path.exists())
        assert msgspec.json.decode(growing.run.control_path.read_bytes())["action"] == "stop"
        await shows(pilot, "growing: stopping after")
        assert isinstance(app.screen, LiveScreen)


async def test_nothing_is_killed_without_the_typed_word(growing: FakeRun) -> None:
    app = open_run(growing.run)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "running")
        await pilot.press("K", "down", "enter", *"klil", "enter")
        await shows(pilot, "not killed")
        await pilot.press("K", "down", "enter", *"kill", "escape")
        await pilot.press("K", "down", "down", "enter")
        assert isinstance(app.screen, LiveScreen)
    assert not growing.run.control_path.exists()


async def test_killing_asks_the_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        fake = FakeRun(tmp_path, "doomed", total=10, supervisor=supervisor.pid)
        app = open_run(fake.run)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await shows(pilot, "running")
            await pilot.press("K", "down", "enter")
            assert isinstance(app.screen, StopDialog)
            await pilot.press(*"kill", "enter")
            await until(pilot, lambda: fake.run.control_path.exists())
            assert msgspec.json.decode(fake.run.control_path.read_bytes())["action"] == "kill"
            fake.end("stopped", "killed on request")
            await shows(pilot, "■ stopped", "killed on request")
        supervisor.kill()
