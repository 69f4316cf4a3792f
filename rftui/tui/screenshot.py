"""Pictures of any screen: `python -m rftui.tui.screenshot RUN OUT.svg --area live --size 160x48 --keys s,z`.

RUN is `-` where no run is open. `--area plan` needs `--preset`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from textual.pilot import Pilot

from engine.findings import FindingsError
from rftui.runs.rundir import RunDir, default_runs_dir, find
from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS
from rftui.tui.screens.plan import PlanScreen
from rftui.tui.settings import Settings

READ_TIMEOUT_S = 60.0
STILL_FOR_S = 1.5
"""A screen that has not changed for so long shows all that it will show."""


async def screenshot(
    runs_dir: Path,
    run: RunDir | None,
    size: tuple[int, int],
    keys: Sequence[str] = (),
    theme: str = "rft-dark",
    area: str = "",
    preset: str = "",
) -> str:
    """The SVG of an area, by default that where the program opens, after these keys."""
    app = RftuiApp(runs_dir, run, settings=Settings(theme="auto", readonly=True))
    app.theme = theme
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        if preset:
            await app.open_plan(preset)
        elif area and area != app.area_now:
            await app.open_area(area)
        while isinstance(app.screen, PlanScreen) and app.screen.busy:
            await asyncio.sleep(0.05)
        await _until_still(pilot)
        if keys:
            await pilot.press(*keys)
            await _until_still(pilot)
        title = f"rftui {run.name}" if run and app.area_now not in ("home", "plan", "doctor") else "rftui"
        return app.export_screenshot(title=title, simplify=True)


async def _until_still(pilot: Pilot[None]) -> None:
    """Wait until nothing changes any more, or the time is up: a growing run never stands still."""
    deadline = time.monotonic() + READ_TIMEOUT_S
    before, since = "", time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < STILL_FOR_S:
        await asyncio.sleep(0.1)
        now = pilot.app.export_screenshot()
        if now != before:
            before, since = now, time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rftui.tui.screenshot", description=__doc__)
    parser.add_argument("run", help="name of the run; '-' for none")
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument(
        "--area", default="", choices=("", *(area.name for area in AREAS)), help="where to go"
    )
    parser.add_argument("--preset", default="", help="the preset to plan")
    parser.add_argument("--size", default="160x48", help="columns x rows")
    parser.add_argument("--keys", default="", help="keys to press first, separated by commas")
    parser.add_argument("--theme", default="rft-dark", help="rft-dark, rft-light, rft-cb or rft-mono")
    parser.add_argument("--runs-dir", type=Path, default=default_runs_dir())
    options = parser.parse_args(argv)
    width, _, height = options.size.partition("x")
    size = (int(width), int(height))
    try:
        run = None if options.run == "-" else find(options.runs_dir, options.run)
    except FindingsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    keys = [key for key in options.keys.split(",") if key]
    picture = screenshot(options.runs_dir, run, size, keys, options.theme, options.area, options.preset)
    options.out.write_text(asyncio.run(picture))
    return 0


if __name__ == "__main__":
    sys.exit(main())
