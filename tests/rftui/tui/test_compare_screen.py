"""Runs held against each other, driven by the keys of the screen."""

from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run
from textual.pilot import Pilot
from textual.widgets import Input

from engine.config.load import Layer, dump_resolved, resolve
from rftui.tui import home
from rftui.tui.app import RftuiApp
from rftui.tui.screens.compare import CompareScreen
from rftui.tui.screens.runs import RunsScreen
from rftui.tui.settings import Settings


@pytest.fixture(autouse=True)
def quiet_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home screen, on which the program opens, starts no child processes meanwhile."""
    monkeypatch.setattr(home, "presets_known", list)
    monkeypatch.setattr(home, "doctor_badge", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`first` and `second`, with learning rates 1e-6 and 2e-6."""
    runs = tmp_path / "runs"
    for name, steps, rate in (("first", 40, 1e-6), ("second", 60, 2e-6)):
        run = finished_run(runs, name, steps=steps, age_s=1000 if name == "second" else 500)
        run.config_path.write_text(dump_resolved(resolve([Layer("x", {"actor_learning_rate": rate})])))
    return runs


async def compared(pilot: Pilot[None]) -> CompareScreen:
    """The comparison of the two newest runs."""
    await pilot.press("6")
    await shows(pilot, "runs", "✔ finished")
    await pilot.press("space", "space", "c")
    await shows(pilot, "compare 2 runs", "a first", "b second")
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    await until(
        pilot, lambda: screen.comparison is not None and not any(r.behind for r in screen.comparison.runs)
    )
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (200, 60)])
async def test_curves_settings_and_numbers(folder: Path, size: tuple[int, int]) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=size) as pilot:
        await compared(pilot)
        text = await shows(pilot, "reward over step", "settings that differ", "actor_learning_rate", "2e-06")
        assert all(len(line) <= size[0] for line in text.split("\n"))
        assert ("numbers at the end" in text) == (size[0] >= 120)
        assert any(0x2800 < ord(char) < 0x2900 for char in text)
        if size[0] >= 120:
            assert "60 (+50%)" in text
            assert "best reward" in text
        else:
            await pilot.press("v")
            await shows(pilot, "numbers at the end", "steps", "60 (+50%)")
            await pilot.press("v")
            await shows(pilot, "settings that differ")


async def test_metric_axis_and_smoothing(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await compared(pilot)
        await pilot.press("full_stop")
        await shows(pilot, "KL to reference over step")
        await pilot.press("comma", "comma")
        assert screen.comparison is not None
        last = screen.comparison.metrics[-1]
        await until(pilot, lambda: screen.comparison is not None and screen.comparison.asked.metric == last)
        await pilot.press("full_stop")
        await shows(pilot, "reward over step")
        for words in ("over time since the start", "over tokens", "over step"):
            await pilot.press("x")
            await shows(pilot, words)
        await shows(pilot, "smoothed 0.6")
        await pilot.press("s")
        await shows(pilot, "smoothed 0.9")
        await pilot.press("s")
        await until(pilot, lambda: "smoothed" not in screen_text(app))
        await pilot.press("g")
        await shows(pilot, "reward · log")
        await pilot.press("g")
        await until(pilot, lambda: "· log" not in screen_text(app))


async def test_another_base_turns_the_differences_round(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await compared(pilot)
        await shows(pilot, "60 (+50%)")
        await pilot.press("b")
        await shows(pilot, "a second", "b first", "40 (-33%)")


async def test_zoom_tab_and_the_way_back(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await compared(pilot)
        screen.set_focus(None)
        await pilot.press("z")
        await until(pilot, lambda: screen.maximized is not None and screen.maximized.id == "chart")
        assert "settings that differ" not in screen_text(app)
        await pilot.press("escape", "tab", "tab")
        assert screen.maximized is None
        assert screen.focused is not None
        assert screen.focused.id == "settings"
        await pilot.press("tab", "z")
        await until(pilot, lambda: screen.maximized is not None and screen.maximized.id == "numbers")
        await shows(pilot, "grad/norm")
        await pilot.press("z", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_the_comparison_is_written_where_it_is_wanted(folder: Path, tmp_path: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await compared(pilot)
        await pilot.press("e")
        await shows(pilot, "Write the comparison to", "compare-first-second")
        app.screen.query_one(Input).value = str(tmp_path / "out" / "both")
        await pilot.press("enter")
        await shows(pilot, "written: ")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "both.csv",
            "both.md",
            "both.svg",
        ]
        assert "| optim.actor_learning_rate | 1e-06 | 2e-06 |" in (tmp_path / "out" / "both.md").read_text()
        (tmp_path / "file").write_text("")
        (tmp_path / "README.md").write_text("mine")
        await pilot.press("e")
        await shows(pilot, "Write the comparison to")
        for line, wrong in (
            (str(tmp_path / "README.md"), "exists: give another name"),
            (str(tmp_path / "README"), "exists: give another name"),
            ("/", "/ exists: give another name"),
            (".", ". exists: give another name"),
            ("~nobody-of-this-name/x", "cannot be a file: Could not determine"),
        ):
            app.screen.query_one(Input).value = line
            await pilot.press("enter")
            await shows(pilot, "✖", wrong)
        assert (tmp_path / "README.md").read_text() == "mine"
        assert not (tmp_path / "README.csv").exists()
        app.screen.query_one(Input).value = str(tmp_path / "file" / "x.csv")
        await pilot.press("enter")
        await shows(pilot, "not written: ")


async def test_a_live_run_grows_and_a_damaged_one_is_told_of(folder: Path) -> None:
    fake = FakeRun(folder, "alive", total=50, age_s=27)
    for _ in range(3):
        fake.step()
    (folder / "half").mkdir()
    (folder / "half" / "run.json").write_text("{")
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("6")
        await shows(pilot, "4 runs", "! unreadable")
        await pilot.press("space", "space", "space", "c")
        await shows(pilot, "compare 3 runs", "alive ● running", "cannot be read as a run", "not readable")
        for _ in range(4):
            fake.step()
        await shows(pilot, "step 7")


async def test_areas_are_reached_and_it_is_left_once(folder: Path) -> None:
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await compared(pilot)
        await pilot.press("1")
        await until(pilot, lambda: app.area_now == "home")
        await pilot.press("6")
        await until(pilot, lambda: app.screen is screen)
        screen.action_back()
        screen.action_back()  # typed ahead
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.pause(0.2)
        assert isinstance(app.screen, RunsScreen)


async def test_on_a_slow_line_curves_are_drawn_every_five_seconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    paint = CompareScreen._paint
    monkeypatch.setattr(CompareScreen, "_paint", lambda self: (seen.append(1.0), paint(self))[1])
    app = RftuiApp(folder, settings=Settings(slow=True, refresh_s=0.1))
    async with app.run_test(size=(120, 40)) as pilot:
        await compared(pilot)
        await pilot.pause(0.3)
        before = len(seen)
        await pilot.pause(1.2)
        assert len(seen) == before
