"""How soon the program shows itself, and how soon a key changes the screen."""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tui_terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
SIZE = (120, 40)
FORBIDDEN = ("torch", "transformers", "numpy")
WORDS = (
    ("?", "esc closes", ""),
    ("?", "", "esc closes"),
    ("space", "paused", ""),
    ("space", "", "paused"),
)
"""Keys of the live screen, with what must be seen then and what must not."""
VISIT = """
import asyncio, sys
from pathlib import Path
from rftui.runs.rundir import find
from rftui.tui.app import RftuiApp
from rftui.tui.areas import AREAS
async def visit(folder):
    app = RftuiApp(folder, find(folder, "start"))
    async with app.run_test(size=(120, 40)) as pilot:
        for area in AREAS:
            await app.open_area(area.name)
            await pilot.pause(0.5)
            await pilot.press("escape")
asyncio.run(visit(Path(sys.argv[1])))
print(",".join(sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2].split(",")))))
"""


def rftui(runs_dir: Path, *arguments: str, size: tuple[int, int] = SIZE, slow: bool = False) -> Terminal:
    """The program on a folder of runs, with settings of its own."""
    config = runs_dir.parent / ("config-slow" if slow else "config")
    (config / "rftui").mkdir(parents=True, exist_ok=True)
    (config / "rftui/settings.toml").write_text(f"slow = {str(slow).lower()}\nreadonly = true\n")
    return Terminal(
        [sys.executable, "-m", "rftui.tui.main", *arguments, "--runs-dir", str(runs_dir)],
        size,
        env=environment(runs_dir) | {"XDG_CONFIG_HOME": str(config)},
    )


def environment(runs_dir: Path) -> dict[str, str]:
    """Of the program and of what makes runs grow: nothing of the user's."""
    return {"RFTUI_DATA_DIR": str(runs_dir.parent / "data"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@contextmanager
def growing(what: str, runs_dir: Path, number: int, *options: str) -> Iterator[None]:
    """A child process that makes a run grow."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/tui_runs.py"), what, str(runs_dir), str(number), *options],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment(runs_dir)},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield
        finally:
            child.kill()


def starting(runs_dir: Path, repeats: int) -> dict[str, float]:
    """Whole processes: until the first frame at home, and until the numbers of a run stand on the screen."""
    frames, numbers = [], []
    for _ in range(repeats + 1):
        with rftui(runs_dir) as home:
            frames.append(home.until("▸ home") - home.began)
        with rftui(runs_dir, "start") as live:
            numbers.append(live.until("step 200/200") - live.began)
    return {
        "first_frame_s": statistics.median(frames[1:]),
        "live_numbers_s": statistics.median(numbers[1:]),
    }


def imported(runs_dir: Path) -> list[str]:
    """Which of the forbidden packages visiting every area imports."""
    visited = subprocess.run(
        [sys.executable, "-c", VISIT, str(runs_dir), ",".join(FORBIDDEN)],
        env={**os.environ, **environment(runs_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in visited.stdout.strip().split(",") if name]


def pressing(runs_dir: Path, rate: int, presses: int) -> dict[str, float]:
    """From key to paint on the live screen, while ranks write `rate` events per second."""
    took = []
    with growing("busy", runs_dir, rate), rftui(runs_dir, "busy") as terminal:
        terminal.until("step ", "8/8 ranks")
        terminal.settle(2.0)
        for press in range(presses):
            key, seen, gone = WORDS[press % len(WORDS)]
            # Keys fall at any time between two looks of the program, not in step with them.
            terminal.settle(0.13 + 0.037 * (press % 7))
            sent = terminal.press(key)
            took.append(terminal.until(seen, gone=gone, timeout=10) - sent)
        switches = []
        for _ in range(max(2, presses // 10)):
            for key, text in (("1", "▸ home"), ("3", "8/8 ranks")):
                terminal.settle(0.3)
                switches.append(terminal_switch(terminal, key, text))
    took.sort()
    return {
        "key_p50_ms": statistics.median(took) * 1e3,
        "key_p95_ms": took[int(len(took) * 0.95)] * 1e3,
        "key_max_ms": took[-1] * 1e3,
        "switch_p50_ms": statistics.median(switches) * 1e3,
    }


def terminal_switch(terminal: Terminal, key: str, text: str) -> float:
    """Seconds until another area stands on the screen."""
    sent = terminal.press(key)
    return terminal.until(text, timeout=10) - sent
