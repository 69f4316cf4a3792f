"""Starts `python -m engine.train` on real ranks and reads back what the run wrote."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from engine.events import AnyEvent, Metric

MEASURED_BY_CLOCK = ("time/", "throughput/")


def command(run_dir: Path, *flags: str, nproc: int = 1) -> list[str]:
    """The torchrun command of a run with `flags`."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={nproc}"]
    return [*torchrun, "-m", "engine.train", "--run_dir", str(run_dir), *flags]


@contextmanager
def started(run_dir: Path, *flags: str, nproc: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A run in the background; whatever is left of it is killed at the end."""
    process = subprocess.Popen(
        command(run_dir, *flags, nproc=nproc),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in [*psutil.Process(process.pid).children(recursive=True), process]:
                child.kill()
            process.communicate()


def train(run_dir: Path, *flags: str, nproc: int = 1, expect: int = 0, timeout: float = 240) -> str:
    """Run to the end and return what was printed; fails with it on another exit code."""
    with started(run_dir, *flags, nproc=nproc) as process:
        output, _ = process.communicate(timeout=timeout)
    assert process.returncode == expect, output
    return output


def read_events(run_dir: Path, rank: int = 0) -> list[AnyEvent]:
    """All events of a rank whose line is complete."""
    path = run_dir / "events" / f"rank-{rank:05d}.jsonl"
    text = path.read_bytes() if path.exists() else b""
    complete = text[: text.rfind(b"\n") + 1]
    return msgspec.json.Decoder(AnyEvent).decode_lines(complete)


def metrics_by_step(run_dir: Path) -> dict[int, dict[str, float | None]]:
    """Metrics by step without those measured by the clock; of a step made again, the last."""
    steps: dict[int, dict[str, float | None]] = {}
    seen: set[tuple[int, bool]] = set()
    for event in read_events(run_dir):
        if isinstance(event, Metric):
            kept = {k: v for k, v in event.values.items() if not k.startswith(MEASURED_BY_CLOCK)}
            key = (event.step, "reward/mean" in kept)
            if key in seen:
                steps[event.step] = {k: v for k, v in steps[event.step].items() if k not in kept}
            seen.add(key)
            steps.setdefault(event.step, {}).update(kept)
    return steps


def wait_for_step(run_dir: Path, step: int, process: subprocess.Popen[str], timeout: float = 120) -> None:
    """Return as soon as metrics of `step` are on disk."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if max((e.step for e in read_events(run_dir) if isinstance(e, Metric)), default=0) >= step:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError(f"step {step} did not come within {timeout} s")
