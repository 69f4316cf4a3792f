"""What is measured of the dashboard's logs: each part runs the program headless and returns figures."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from rftui.runs.rundir import RunDir
from rftui.tui.app import RftuiApp
from rftui.tui.logs.query import query
from rftui.tui.screens.logs import LogsScreen

NEEDLE = "the needle at the end"
LINE = "2026-03-14 10:31:02,500 INFO step {:9d} reward 0.612 kl 0.0209 len 409 grad 0.9558 tok/s 18400\n"


def write_log(path: Path, n_bytes: int) -> int:
    """Write a log of about that many bytes, NEEDLE in its last line; how many lines it has."""
    lines = 0
    with path.open("w") as out:
        while out.tell() < n_bytes:
            out.write("".join(LINE.format(lines + n) for n in range(10_000)))
            lines += 10_000
        out.write(f"2026-03-14 23:00:00,000 {NEEDLE}\n")
    return lines + 1


async def open_and_search(run: RunDir, size: tuple[int, int] = (120, 40)) -> dict[str, float]:
    """Seconds until the end of the run's logs is there, MB that takes once all lines are counted.

    And seconds of a search from the first line to NEEDLE.
    """
    app = RftuiApp(run.path.parent, run)
    async with app.run_test(size=size):
        before, begun = _resident(), time.perf_counter()
        await app.open_area("logs")
        screen = _screen(app)
        await _until(lambda: bool(screen.page.rows) and NEEDLE in screen.page.rows[-1].text)
        opened = time.perf_counter() - begun
        await _until(lambda: screen.page.counted is None)
        grown = _resident() - before
        screen.action_begin()
        await _until(lambda: screen.page.top == 0)
        begun = time.perf_counter()
        screen.find(query(NEEDLE))
        await _until(lambda: screen.page.row is not None and NEEDLE in screen.page.row.text)
        found = time.perf_counter() - begun
    return {"log_open_s": opened, "log_mb": grown / 1e6, "log_search_s": found}


async def tail(run: RunDir, lines_per_s: int, seconds: float) -> dict[str, float]:
    """Follow a log that grows: lines written per second, lines missed, pages per second, share of a core."""
    app = RftuiApp(run.path.parent, run)
    log = run.logs_dir / "rank-00000.log"
    async with app.run_test(size=(120, 40)):
        await app.open_area("logs")
        screen = _screen(app)
        await _until(lambda: screen.page.counted is None)
        before, pages = screen.page.lines, _Pages(screen)
        written = int(lines_per_s * seconds)
        child = os.fork()
        if not child:
            _write(log, lines_per_s, seconds)
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.to_thread(os.waitpid, child, 0)
        took, used = time.perf_counter() - begun, time.process_time() - cpu
        await _until(lambda: screen.page.lines - before >= written, 10)
        missed = written - (screen.page.lines - before)
    return {
        "log_tail_lines_per_s": written / took,
        "missed": missed,
        "pages_per_s": pages.count / took,
        "cpu": used / took,
    }


class _Pages:
    """Counts the pages that a screen is handed."""

    def __init__(self, screen: LogsScreen) -> None:
        self.count = 0
        self._screen, self._last = screen, screen.page
        self._timer = screen.set_interval(0.01, self._look)

    def _look(self) -> None:
        if self._screen.page is not self._last:
            self._last = self._screen.page
            self.count += 1


def _write(log: Path, lines_per_s: int, seconds: float) -> None:
    """In a child of its own, which ends here: a hundredth of a second's lines at a time."""
    batch = "".join(LINE.format(n) for n in range(lines_per_s // 100))
    begun = time.monotonic()
    with log.open("a") as out:
        for n in range(int(seconds * 100)):
            out.write(batch)
            out.flush()
            time.sleep(max(0.0, begun + (n + 1) / 100 - time.monotonic()))
    os._exit(0)


def _screen(app: RftuiApp) -> LogsScreen:
    assert isinstance(app.screen, LogsScreen)
    return app.screen


async def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.002)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
