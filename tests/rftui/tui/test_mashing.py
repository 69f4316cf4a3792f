"""Thousands of keys at random on every screen: nothing crashes, nothing hangs, nothing outside is touched.

Settings are read-only, so no run is started, stopped, deleted or mended; the doctor's checks are made ones.
A seed that fails is named in the test, and presses the same keys again.
"""

import asyncio
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import screen_text
from scenes import ENDED, RUNS, WATCHED, make_runs, still
from textual.events import Key

from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS
from rftui.tui.settings import Settings

NAMED = (
    *("up", "down", "left", "right", "enter", "escape", "tab", "shift+tab", "backspace", "delete", "home"),
    *("end", "pageup", "pagedown", "shift+left", "shift+right", "ctrl+s", "ctrl+p", "ctrl+u", "ctrl+r"),
)
SIGNS = {
    "space": " ",
    "plus": "+",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "slash": "/",
    "colon": ":",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "equals_sign": "=",
    "asterisk": "*",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "question_mark": "?",
    "underscore": "_",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}
KEYS = (*NAMED, *NAMED, *SIGNS, *string.ascii_letters, *string.digits)
SIZES = ((80, 24), (120, 40), (200, 60), (30, 8))
AT_ONCE = 20
HANGS_S = 30.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Runs at one moment."""
    still(tmp_path, monkeypatch)
    make_runs(RUNS)
    yield RUNS


class Staying(RftuiApp):
    """Keys and commands of the palette that leave the program are obeyed by staying, for more keys."""

    def exit(self, *args: object, **options: object) -> None:
        """Stay."""

    def leave(self) -> None:
        """End."""
        super().exit()


async def mash(seed: int, count: int) -> None:
    """Press so many keys, on all areas, at changing sizes; fail on a crash or a key not taken in time."""
    dice = random.Random(seed)
    run = RunDir(RUNS / dice.choice((ENDED, WATCHED)))
    app = Staying(RUNS, run, settings=Settings(theme="rft-dark", readonly=True))
    areas = [area.name for area in AREAS]
    pressed: list[str] = []
    async with app.run_test(size=dice.choice(SIZES), notifications=True) as pilot:
        for burst in range(count // AT_ONCE):
            if burst % 5 == 0:
                await _go(app, areas[burst // 5 % len(areas)])
                await pilot.resize_terminal(*dice.choice(SIZES))
            batch = dice.choices(KEYS, k=AT_ONCE)
            pressed += batch
            for key in batch:
                app.post_message(Key(key, SIGNS.get(key, key if len(key) == 1 else None)))
            try:
                await asyncio.wait_for(_taken(app), HANGS_S)
            except TimeoutError:
                pytest.fail(f"hangs after {pressed[-60:]}:\n{screen_text(app)}")
            assert app.is_running and app._exception is None, f"seed {seed}: ended after {pressed[-60:]}"
        await asyncio.wait_for(pilot.pause(), HANGS_S)
        app.leave()
    assert app.return_code in (0, None)


async def _taken(app: RftuiApp) -> None:
    """Wait until the program and then its screen have done all that they were sent, or it has crashed."""
    taken = asyncio.Event()
    app.call_later(lambda: app.screen.call_later(taken.set))
    waits = [asyncio.create_task(event.wait()) for event in (taken, app._exception_event)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    await asyncio.sleep(0.01)


async def _go(app: RftuiApp, area: str) -> None:
    """Out of what lies over the screen, and to an area, unless something asks for more than escape."""
    for _ in range(4):
        app.post_message(Key("escape", None))
        await asyncio.wait_for(_taken(app), HANGS_S)
    if len(app.screen_stack) == 1:
        await app.open_area(area)


def _content(runs: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in runs.rglob("*") if path.is_file()}


async def test_a_thousand_keys(folder: Path) -> None:
    before = _content(folder)
    await mash(1, 1000)
    assert {name: text for name, text in _content(folder).items() if name in before} == before
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        name.split("/")[1] for name in before
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
async def test_ten_thousand_keys(seed: int, folder: Path) -> None:
    await mash(seed, 1000)
