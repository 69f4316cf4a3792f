"""The home screen: runs with their curves, presets with what they need, this machine; the doors to each."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run
from textual.events import Key
from textual.widgets import Input, OptionList

from diagnostics.hardware import detect
from diagnostics.nvml import Nvml
from presets import loader
from rftui.runs.listing import summarize
from rftui.runs.rundir import RunDir
from rftui.tui import home
from rftui.tui.app import RftuiApp
from rftui.tui.home import Badge
from rftui.tui.screens import home as home_screen
from rftui.tui.screens.home import HomeScreen
from tests.diagnostics.fake_nvml import H100, FakeNvml


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers of the child processes, which have a test of their own."""
    monkeypatch.setattr(home, "doctor_badge", lambda: Badge(0, 2))
    monkeypatch.setattr(home, "planned", lambda row: replace(row, fits=True, peak_gb=0.8))
    return iter([None])


async def test_runs_presets_and_machine_stand_side_by_side(tmp_path: Path) -> None:
    finished_run(tmp_path, "older", steps=30, age_s=9000)
    fake = FakeRun(tmp_path, "newer", total=50, age_s=60)
    for _ in range(7):
        fake.step()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await shows(
            pilot, "2 runs, 1 running in", "● running", "7/50", "✔ fits, 0.8 GB", "▲ 2 warnings"
        )
        assert text.index("newer") < text.index("older")
        assert "◌ needs pretrain" in text
        assert "GPUs  none: runs use the CPU" in text
        assert all(len(line) <= 80 for line in text.split("\n")) and text.endswith(": palette")


async def test_enter_opens_the_run_and_escape_comes_back(tmp_path: Path) -> None:
    finished_run(tmp_path, "only", steps=5)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 run in")
        await pilot.press("enter")
        await shows(pilot, "step 5/5")
        assert app.area_now == "live"
        await pilot.press("1")
        await shows(pilot, "1 run in")
        assert isinstance(app.screen, HomeScreen)


async def test_the_list_follows_the_folder_and_keeps_the_cursor_on_its_run(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "first", total=50)
    fake.step()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1/50")
        finished_run(tmp_path, "second", steps=3, age_s=0)
        await pilot.press("r")
        await shows(pilot, "2 runs")
        options = app.screen.query_one("#runs", OptionList)
        await until(pilot, lambda: options.highlighted_option is not None)
        assert options.highlighted_option is not None and options.highlighted_option.id == "first"


async def test_an_older_look_that_comes_late_takes_no_curve_for_good(tmp_path: Path) -> None:
    finished_run(tmp_path, "run", steps=30)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        assert isinstance(screen, HomeScreen)
        await until(pilot, lambda: len(screen._rewards.get("run", ())) > 1)
        screen.post_message(screen.Listed(screen._runs, {}, {}))
        await until(pilot, lambda: not screen._rewards)
        await pilot.press("r")
        await until(pilot, lambda: len(screen._rewards.get("run", ())) > 1)


async def test_an_empty_folder_tells_what_to_do_next(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path / "nothing-here")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "No runs in", "rft launch quickstart")
        await pilot.press("tab", "down")
        assert "quickstart" in screen_text(app)


async def test_presets_stand_under_their_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "user_dir", lambda: tmp_path / "presets")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "sums.yaml").write_text("title: Sums\ntask: math\n")
    (tmp_path / "presets" / "untold.yaml").write_text("title: No task\n")
    app = RftuiApp(tmp_path / "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        text = await shows(pilot, "first steps", "✔ fits", "untold")
        places = [text.index(f"│ {word} ") for word in ("first steps", "quickstart", "math", "gsm8k", "sums")]
        assert places == sorted(places) and text.index("│ other ") > places[-1]
        options = app.screen.query_one("#presets", OptionList)
        assert options.highlighted_option is not None and options.highlighted_option.id == "quickstart"
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.context.preset == "gsm8k")


async def test_words_filter_runs_and_presets(tmp_path: Path) -> None:
    finished_run(tmp_path, "only", steps=5)
    FakeRun(tmp_path, "math-1", total=50, age_s=60).step()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "2 runs", "quickstart", "gsm8k")
        await pilot.press("slash", *"math", "slash")
        await shows(pilot, "runs · 0 of 2")
        assert app.focused is not None and app.focused.id == "filter"
        await pilot.press("backspace")
        text = await shows(pilot, "runs · 1 of 2", "presets · 1 of 2", "math-1", "gsm8k")
        assert "only" not in text and "quickstart" not in text
        await pilot.press("enter")
        assert app.focused.id == "runs"
        await pilot.press("escape")
        await shows(pilot, "only", "quickstart")
        assert not app.screen.query_one("#filter").display


async def test_what_is_typed_right_behind_the_slash_is_text(tmp_path: Path) -> None:
    finished_run(tmp_path, "queen", steps=5)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 run in", "gsm8k")
        for key, char in (("slash", "/"), *zip("7q1", "7q1", strict=True)):
            app.post_message(Key(key, char))
        await pilot.pause()
        assert app.screen.query_one(Input).value == "7q1"
        assert app.area_now == "home" and app.is_running


async def test_hidden_it_looks_at_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(tmp_path, "only", steps=5)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 run in")
        await pilot.press("enter")
        await shows(pilot, "step 5/5")
        looked: list[Path] = []
        monkeypatch.setattr("rftui.tui.screens.home.list_runs", lambda folder: looked.append(folder) or [])
        await pilot.pause(4.5)
        assert looked == []


def test_a_curve_shows_where_the_reward_went(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "run", steps=60)
    values = home.rewards_of(run)
    assert len(values) == home.SPARK_CELLS and values[-1] > values[0]
    drawn = home.spark(values)
    assert drawn[0] in "▁▂" and "█" in drawn
    assert home.spark([0.5, 0.5]) == "▄▄" and home.spark([]) == ""
    line = home.run_line(summarize(run, 0.0), values, 0.0, 76)
    assert drawn in line.plain and line.cell_length <= 76
    assert drawn not in home.run_line(summarize(run, 0.0), values, 0.0, 60).plain


def test_machines_are_told_by_kind_of_gpu() -> None:
    machine = detect(Nvml(FakeNvml([H100] * 8)), environ={})
    text = home.machine_lines(machine, Badge(1, 2), 80).plain
    assert "8 × NVIDIA H100 80GB HBM3" in text and "free" in text
    assert "✖ 1 errors, 2 warnings → 7" in text


def test_children_answer_for_presets_and_doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    rows = {row.name: row for row in home.presets_known()}
    assert rows["gsm8k"].needs == ("pretrain",)
    row = home.planned(rows["quickstart"])
    assert row.fits is True and row.peak_gb is not None and 0.1 < row.peak_gb < 5
    badge = home.doctor_badge()
    assert badge is not None and badge.errors == 0


def test_an_unreadable_run_has_no_curve(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{")
    line = home.run_line(summarize(RunDir(tmp_path / "half"), 0.0), (), 0.0, 80)
    assert "! unreadable" in line.plain


async def test_all_runs_are_counted_where_only_some_are_listed_those_that_go_on_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_screen, "RECENT", 2)
    fake = FakeRun(tmp_path, "oldest", age_s=9000)
    fake.step()
    for number in range(3):
        finished_run(tmp_path, f"run-{number}", steps=2)
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await shows(pilot, "4 runs, 1 running, 2 of them here", "run-2")
        assert text.index("oldest") < text.index("run-2") and "run-1" not in text


async def test_the_footer_is_made_anew_only_when_its_keys_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path, "only", steps=5)
    made: list[int] = []
    refresh = HomeScreen.refresh_bindings
    monkeypatch.setattr(HomeScreen, "refresh_bindings", lambda self: (made.append(1), refresh(self))[1])
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 run in", "✔ fits")
        before = len(made)
        assert isinstance(app.screen, HomeScreen)
        for _ in range(3):
            app.screen._paint()
        await pilot.pause()
        assert len(made) == before
