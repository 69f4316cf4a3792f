"""Pictures of the live screen: `python -m rftui.tui.screenshot RUN OUT.svg --size 160x48 --keys s,z`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.findings import FindingsError
from rftui.runs.rundir import RunDir, default_runs_dir, find
from rftui.tui.app import RftuiApp
from rftui.tui.screens.live import LiveScreen

READ_TIMEOUT_S = 60.0


async def screenshot(
    runs_dir: Path, run: RunDir | None, size: tuple[int, int], keys: Sequence[str] = (), theme: str = ""
) -> str:
    """The SVG of a run's live screen, or of the list of runs, after these keys."""
    app = RftuiApp(runs_dir, run)
    if theme:
        app.theme = theme
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.2)
        screen = app.screen
        if isinstance(screen, LiveScreen):
            await asyncio.wait_for(_until_read(screen), READ_TIMEOUT_S)
        await pilot.press(*keys)
        await pilot.pause(0.5)
        return app.export_screenshot(title=f"rft watch {run.name}" if run else "rftui", simplify=True)


async def _until_read(screen: LiveScreen) -> None:
    while screen.snapshot is None or screen.snapshot.loading:
        await asyncio.sleep(0.05)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rftui.tui.screenshot", description=__doc__)
    parser.add_argument("run", help="name of the run; '-' for the list of runs")
    parser.add_argument("out", type=Path, help="the SVG file to write")
    parser.add_argument("--size", default="160x48", help="columns x rows")
    parser.add_argument("--keys", default="", help="keys to press first, separated by commas")
    parser.add_argument("--theme", default="", help="rft-dark, rft-light or rft-cb")
    parser.add_argument("--runs-dir", type=Path, default=default_runs_dir())
    options = parser.parse_args(argv)
    width, _, height = options.size.partition("x")
    try:
        run = None if options.run == "-" else find(options.runs_dir, options.run)
    except FindingsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    keys = [key for key in options.keys.split(",") if key]
    svg = asyncio.run(screenshot(options.runs_dir, run, (int(width), int(height)), keys, options.theme))
    options.out.write_text(svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
