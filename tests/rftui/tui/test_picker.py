"""The list of runs, and the console script that opens it."""

from pathlib import Path

import pytest
from conftest import screen_text, shows, until
from fake_run import FakeRun, finished_run
from textual.widgets import OptionList

from rftui.tui.app import RftuiApp
from rftui.tui.main import main
from rftui.tui.screens.live import LiveScreen
from rftui.tui.screens.picker import PickerScreen


async def test_runs_are_listed_newest_first_and_opened_with_enter(tmp_path: Path) -> None:
    finished_run(tmp_path, "older", steps=5, age_s=9000)
    fake = FakeRun(tmp_path, "newer", total=50, age_s=60)
    for _ in range(7):
        fake.step()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await shows(pilot, "2 runs in", "● running", "✔ finished", "7/50", "5/5")
        assert text.index("newer") < text.index("older")
        await pilot.press("down", "enter")
        await shows(pilot, "older", "step 5/5")
        assert isinstance(app.screen, LiveScreen)
        await pilot.press("escape")
        await shows(pilot, "2 runs in")


async def test_the_list_follows_the_folder_and_keeps_the_cursor_on_its_run(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, "first", total=50)
    fake.step()
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "1 run in", "1/50")
        fake.step()
        await pilot.press("r")
        await shows(pilot, "2/50")
        finished_run(tmp_path, "second", steps=3, age_s=0)
        await pilot.press("r")
        text = await shows(pilot, "2 runs in")
        assert text.index("second") < text.index("first")
        options = app.screen.query_one(OptionList)
        await until(pilot, lambda: options.highlighted_option is not None)
        assert options.highlighted_option is not None
        assert options.highlighted_option.id == "first"


async def test_an_empty_folder_tells_what_to_do_next(tmp_path: Path) -> None:
    app = RftuiApp(tmp_path / "nothing-here")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "No runs in", "rft launch quickstart", "rftui --runs-dir DIR")
        await pilot.press("enter")
        assert isinstance(app.screen, PickerScreen)
        assert "open" not in screen_text(app).split("\n")[-1]


async def test_a_damaged_run_is_listed_and_opens(tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "run.json").write_text("{")
    app = RftuiApp(tmp_path)
    async with app.run_test(size=(100, 24)) as pilot:
        await shows(pilot, "half", "! unreadable")
        await pilot.press("enter")
        await shows(pilot, "cannot be read as a run")


def test_an_unknown_run_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path, "quickstart-1", steps=1)
    with pytest.raises(SystemExit) as exit:
        main(["quickstrat-1", "--runs-dir", str(tmp_path)])
    assert exit.value.code == 2
    said = capsys.readouterr().err
    assert "run.unknown" in said
    assert "quickstart-1" in said
