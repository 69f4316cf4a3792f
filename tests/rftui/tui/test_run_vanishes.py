"""The directory of a run is deleted while a screen shows it: the program says so, or stands still."""

import shutil
from pathlib import Path

import pytest
from conftest import screen_text, until
from fake_run import FakeRun
from fake_samples import keep_samples

from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS
from rftui.tui.settings import Settings

OF_RUNS = [area.name for area in AREAS if area.of_run or area.name in ("home", "runs")]


@pytest.mark.parametrize("name", OF_RUNS)
async def test_a_run_deleted_while_watched_ends_nothing(tmp_path: Path, name: str) -> None:
    fake = FakeRun(tmp_path / "runs", "watched", total=50)
    for _ in range(12):
        fake.step()
    keep_samples(fake.run, 1, 2, 3)
    app = RftuiApp(tmp_path / "runs", fake.run, settings=Settings(refresh_s=0.1))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await app.open_area(name)
        await until(pilot, lambda: "watched" in screen_text(app))
        shutil.rmtree(fake.run.path)
        await pilot.pause(1.0)
        await pilot.press("down", "enter", "escape")
        for other in OF_RUNS:
            await app.open_area(other)
            await pilot.pause(0.1)
        await app.open_area(name)
        await pilot.pause(0.5)
        assert app.is_running
        assert "Traceback" not in screen_text(app) and "Error(" not in screen_text(app)
