"""Starts the sides of a benchmark in processes of their own and has them step in turn."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

SIDE_PROGRAM = Path(__file__).with_name("sides.py")
PARTS = ("rollout", "update", "step")
Measured = dict[str, Any]


class SideEnded(Exception):
    """A side could not start or go on; the text is the end of what it printed."""


@contextmanager
def worker(side: str, folder: Path, environment: dict[str, str]) -> Iterator[Callable[[], Measured]]:
    """Start a side in its own process; yields a function that has it do one step."""
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": _accelerator()}
    with (folder / f"{side}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(SIDE_PROGRAM), side, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | quiet | environment,
        )
        try:
            yield lambda: _ask(process, folder / f"{side}.log")
        finally:
            process.kill()
            process.wait()


def in_turn(
    sides: Sequence[str], folder: Path, *, steps: int, warmup: int, environment: dict[str, str]
) -> tuple[dict[str, list[Measured]], dict[str, str]]:
    """What each measured step of each side took, the sides stepping in turn; and why a side did not run.

    All of them are started before the first step counts, so a busy machine slows all alike.
    """
    measured: dict[str, list[Measured]] = {side: [] for side in sides}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        running = {side: stack.enter_context(worker(side, folder, environment)) for side in sides}
        for step in range(-warmup, steps):
            order = list(running) if step % 2 else list(reversed(running))
            for side in order:
                try:
                    one = running[side]()
                except SideEnded as ended:
                    failed[side] = str(ended)
                    del running[side], measured[side]
                    continue
                if step >= 0:
                    measured[side].append(one)
    return measured, failed


def summarise(measured: dict[str, list[Measured]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median and minimum seconds of each part by side."""
    return {
        side: {
            part: {"median": round(statistics.median(values), 4), "min": round(min(values), 4)}
            for part in PARTS
            for values in [[one[part] for one in steps]]
        }
        for side, steps in measured.items()
    }


def _ask(process: "subprocess.Popen[str]", log: Path) -> Measured:
    """One step of a worker: what it measured."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write("step\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    answer = process.stdout.readline()
    if not answer:
        raise SideEnded(log.read_text(errors="replace")[-3000:])
    measured: Measured = json.loads(answer)
    return measured


def _accelerator() -> str:
    return "cuda" if Path("/dev/nvidiactl").exists() else "cpu"
