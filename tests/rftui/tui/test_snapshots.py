"""Every screen at three sizes, dark and light, against the pictures in `snapshots/`.

    UPDATE_SNAPSHOTS=1 python -m pytest tests/rftui/tui/test_snapshots.py

takes new ones: look at them (a browser shows them) before they are committed.
"""

import asyncio
import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import shows, until
from scenes import RUNS, SCENES, Scene, make_runs, sizes, still
from svg import Cells, cells_of, picture, strips_of
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input

from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS
from rftui.tui.screens.plan import PlanScreen
from rftui.tui.screens.runs import RunsScreen
from rftui.tui.settings import Settings

SNAPSHOTS = Path(__file__).with_name("snapshots")
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
STILL_FOR_S = 0.12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `runs` in it, as of one moment."""
    place = tmp_path_factory.mktemp("scenes")
    with pytest.MonkeyPatch.context() as patch:
        still(place, patch)
        make_runs(RUNS)
        yield place


def test_every_area_has_a_scene() -> None:
    assert {area.name for area in AREAS} <= {scene.area for scene in SCENES}


def test_no_picture_is_left_over() -> None:
    wanted = {_file(scene, size).name for scene in SCENES for size in sizes()}
    left_over = {path for path in SNAPSHOTS.glob("*.svg") if path.name not in wanted}
    if UPDATE:
        for path in left_over:
            path.unlink()
    else:
        assert left_over == set()


@pytest.mark.parametrize("size", sizes(), ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_it_looks_as_before(scene: Scene, size: tuple[int, int], folder: Path, tmp_path: Path) -> None:
    app = _opened(scene)
    async with app.run_test(size=size) as pilot:
        await _arrange(pilot, scene)
        dark = await _settled(pilot)
        app.theme = "rft-light"
        light = await _settled(pilot)
        assert _characters(dark) == _characters(light)
    _compare(picture(dark, light, size), _file(scene, size), tmp_path)


def _opened(scene: Scene) -> RftuiApp:
    run = RunDir(RUNS / scene.run) if scene.run else None
    return RftuiApp(RUNS, run, settings=Settings(theme="rft-dark"))


async def _arrange(pilot: Pilot[None], scene: Scene) -> None:
    app = pilot.app
    assert isinstance(app, RftuiApp)
    if scene.preset:
        await app.open_plan(scene.preset)
        await until(pilot, lambda: isinstance(app.screen, PlanScreen) and not app.screen.busy)
    elif app.area_now != scene.area:
        await app.open_area(scene.area)
    if isinstance(table := app.screen, RunsScreen):
        await until(pilot, lambda: table.complete and all(row.detail for row in table.rows))
    if scene.keys:
        await _settled(pilot)
        await pilot.press(*scene.keys)
    await shows(pilot, *scene.words)


async def _settled(pilot: Pilot[None]) -> Cells:
    """What stands on the screen, as soon as it stays the same."""
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    before: list[Strip] = []
    while (now := strips_of(pilot.app)) != before:
        before = now
        await asyncio.sleep(STILL_FOR_S)
        await pilot.pause()
    return cells_of(now)


def _compare(now: str, file: Path, tmp_path: Path) -> None:
    """Fail with the lines that differ from the picture of before; or take this one when told to."""
    if UPDATE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(now)
    before = file.read_text() if file.exists() else ""
    if now != before:
        seen = tmp_path / file.name
        seen.write_text(now)
        words = [*difflib.unified_diff(_words(before), _words(now), "before", "now", lineterm="", n=0)]
        pytest.fail("\n".join([f"as it is now: {seen}", *(words or ["only colours differ"])]))


def _characters(cells: Cells) -> list[str]:
    return ["".join(char for char, _ in line) for line in cells]


def _words(svg: str) -> list[str]:
    return [re.sub("<[^>]*>", "", line) for line in svg.split("\n") if line.startswith("<text")]


def _file(scene: Scene, size: tuple[int, int]) -> Path:
    return SNAPSHOTS / f"{scene.name}-{size[0]}x{size[1]}.svg"
