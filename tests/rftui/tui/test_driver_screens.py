"""Home, live and doctor over the real bindings of NVML: GPUs of a driver made for the test, one lost."""

from pathlib import Path

import pytest

from tests.diagnostics.driver import H100, answer, needs_compiler, with_driver

pytestmark = needs_compiler
HERE = Path(__file__).parent
PROGRAM = """
import asyncio, pathlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from conftest import screen_text
from fake_run import FakeRun
from diagnostics.hardware import detect
from diagnostics.nvml import Nvml
from diagnostics.sampler import Sampler
from rftui.tui import home
from rftui.tui.app import RftuiApp
folder = pathlib.Path(sys.argv[3])
home.doctor_badge, home.planned = lambda: home.Badge(0, 0), lambda row: row

async def shown(app, *words):
    for _ in range(600):
        text = screen_text(app)
        if all(word in text for word in words):
            return
        await asyncio.sleep(0.05)
    sys.exit(f"{words} not seen:\\n{text}")

"""
HOME = """
async def main():
    app = RftuiApp(folder)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, sys.argv[4])
        if len(sys.argv) > 5:
            await shown(app, sys.argv[5])
asyncio.run(main())
"""
LIVE = """
async def main():
    gpus, lost = int(sys.argv[4]), folder / "lost"
    fake = FakeRun(folder, "watched", total=50, ranks=8, gpu=False, age_s=100)
    for _ in range(10):
        fake.step()
    nvml = Nvml()
    sampler = Sampler(fake.run.path, detect(nvml, environ={}).gpus, nvml)
    sampler.sample()
    app = RftuiApp(folder, fake.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(app, "● running", f"{gpus} GPUs", "util")
        lost.touch()
        sampler.sample()
        await shown(app, "● running", sys.argv[5])
        assert app.is_running
asyncio.run(main())
"""
DOCTOR = """
from rftui.tui.screens.doctor import DoctorScreen

async def ended(app, pilot):
    while app.screen.board.running or not app.screen.board.results:
        await asyncio.sleep(0.05)
    await pilot.pause(0.2)

async def main():
    app = RftuiApp(folder)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("7")
        await shown(app, "rft ▸ doctor", "✔ fine")
        await ended(app, pilot)
        assert "does not answer" not in screen_text(app), screen_text(app)
        (folder.parent / "lost").touch()
        await pilot.press("R")
        await shown(app, "GPU 5 does not answer (GPU is lost)")
        await ended(app, pilot)
        await pilot.press("slash", *"lost", "enter")
        await shown(app, "▲ warning", "hardware.gpu-lost", "Xid 79 is a GPU that fell")
        await pilot.press("y")
        assert app.clipboard == "dmesg | grep -i xid", app.clipboard
asyncio.run(main())
"""


def _run(script: str, environ: dict[str, str], folder: Path, *arguments: str) -> None:
    answer(PROGRAM + script, environ, str(HERE.parents[2]), str(HERE), str(folder), *arguments)


@pytest.mark.parametrize("gpus", [8, 64])
def test_home_counts_the_gpus_that_answer(tmp_path: Path, gpus: int) -> None:
    _run(HOME, with_driver(tmp_path, gpus), tmp_path / "runs", f"{gpus} × {H100}")


def test_home_says_which_gpu_is_lost(tmp_path: Path) -> None:
    words = (f"7 × {H100}", "▲ GPU 3 does not answer")
    _run(HOME, with_driver(tmp_path, 8, lost=3), tmp_path / "runs", *words)


@pytest.mark.parametrize("gpus", [8, 64])
def test_live_shows_all_gpus_and_which_one_is_lost(tmp_path: Path, gpus: int) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    _run(LIVE, with_driver(tmp_path, gpus, lost=5, when=runs / "lost"), runs, str(gpus), "lost")


def test_the_doctor_shows_a_gpu_that_is_lost_meanwhile(tmp_path: Path) -> None:
    environ = with_driver(tmp_path, 8, lost=5, when=tmp_path / "lost")
    _run(DOCTOR, environ, tmp_path / "runs")
