"""What the tests of screens share."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

sys.path.insert(0, str(Path(__file__).parent))

from fake_run import FakeRun, finished_run

from rftui.runs.rundir import RunDir


def screen_text(app: App[None]) -> str:
    """What stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join(strip.text.rstrip() for strip in strips)


async def until(pilot: Pilot[None], condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for a condition; what the screen showed instead is in the failure."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("not seen in time; the screen shows:\n" + screen_text(pilot.app))
        await asyncio.sleep(0.02)
    await pilot.pause()


async def shows(pilot: Pilot[None], *texts: str, timeout: float = 10.0) -> str:
    """Wait until all texts stand on the screen, be it over two lines; returns the screen."""

    def shown() -> bool:
        screen = screen_text(pilot.app)
        flowing = " ".join(screen.split())
        return all(text in screen or text in flowing for text in texts)

    await until(pilot, shown, timeout)
    return screen_text(pilot.app)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of 300 steps that finished; tests only read it."""
    return finished_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def growing(tmp_path: Path) -> FakeRun:
    """A run of 4 ranks with 40 steps done."""
    fake = FakeRun(tmp_path / "runs", "growing", total=200, ranks=4, age_s=330)
    for _ in range(40):
        fake.step()
    return fake


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that tests change are not those of the person who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def still_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home screen starts no children, which have tests of their own."""
    from rftui.tui import home

    monkeypatch.setattr(home, "doctor_badge", lambda: None)
    monkeypatch.setattr(home, "planned", lambda row: row)
