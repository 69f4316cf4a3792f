"""A log of a gigabyte, and one that grows by millions of lines, in the real program."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tui_keys import ROOT, environment, rftui

LAST = "the needle stands in the last line"
_COUNT = re.compile(r"([\d,]+) lines ·")


def reading(runs_dir: Path, lines: int) -> dict[str, float]:
    """Open the log of the finished run `log`; search its last line from its first."""
    with rftui(runs_dir, "start") as terminal:
        terminal.until("✔ finished", "tokens/s")
        terminal.press("4")
        terminal.until(" lines ·", gone="counting")
        terminal.until_quiet(0.5)
        base = terminal.memory()
    with rftui(runs_dir, "log") as terminal:
        terminal.until("✔ finished", "tokens/s")
        terminal.until_quiet(0.5)
        pressed = terminal.press("4")
        opened = terminal.until("[all]", LAST) - pressed
        counted = terminal.until(" lines ·", gone="counting", timeout=120) - pressed
        terminal.until_quiet(0.5)
        memory = terminal.memory() - base
        terminal.press("home")
        terminal.until("step         0 ", gone=LAST)
        terminal.until_quiet(0.3)
        terminal.press("/")
        terminal.until("search  ")
        terminal.until_quiet(0.2)
        terminal.press("needle")
        terminal.until("needle")
        pressed = terminal.press("enter")
        found = terminal.until(LAST, timeout=120) - pressed
        return {
            "log_open_s": opened,
            "log_counted_s": counted,
            "log_search_s": found,
            "log_mb_per_million_lines": memory / (lines / 1e6),
        }


def tailing(runs_dir: Path, count: int) -> dict[str, float]:
    """Follow a log while a process writes `count` lines into it; all of them must have been counted."""
    with rftui(runs_dir, "start") as terminal:
        terminal.until("✔ finished", "tokens/s")
        terminal.press("4")
        terminal.until(" lines ·", gone="counting")
        terminal.until_quiet(0.5)
        before = _lines(terminal.text)
        program, run = ROOT / "benchmarks/tui_runs.py", runs_dir / "start"
        writer = [sys.executable, str(program), "lines", str(run), str(count)]
        environ = {**os.environ, **environment(runs_dir)}
        with subprocess.Popen(writer, env=environ, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            cpu, began = terminal.cpu_seconds(), time.perf_counter()
            terminal.until_seen(lambda seen: _lines(seen) >= before + count, 120, f"{count} lines more")
            ended = time.perf_counter()
        used = (terminal.cpu_seconds() - cpu) / (ended - began)
        terminal.until(f"step {count - 1:>9} ")
        terminal.until_quiet(0.5)
        return {
            "log_tail_lines_per_s": count / (ended - began),
            "log_tail_lost": before + count - _lines(terminal.text),
            "log_tail_pct": used * 100,
        }


def _lines(screen: str) -> int:
    """How many lines the screen says that there are."""
    found = _COUNT.search(screen)
    return int(found[1].replace(",", "")) if found else 0
