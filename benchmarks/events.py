"""What it costs to write a run's events and to read them back.

Writing: the events of one rank's step (six phases with memory marks, 40 metrics, two samples) against a step
of 100 ms, the shortest worth watching. Reading: one run of 50,000 steps × 20 metrics (a million points) by
the follower alone and by the view that screens use, and a run with the real mix of kinds.

    python benchmarks/events.py [--quick]

The last line is one JSON object. Targets: write share < 0.01, read ≥ 200,000 events/s, a million points
within 4 s, their newest part within 0.5 s.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.events import EventWriter, Memory, Metric, Phase, Sample  # noqa: E402
from rftui.runs.follow import EventFollower  # noqa: E402
from rftui.runs.rundir import RunDir  # noqa: E402
from rftui.runs.view import RunView  # noqa: E402

STEP_S = 0.1
PHASES = ("rollout", "reward", "logprob", "update", "sync", "checkpoint")
METRICS: dict[str, float | None] = {f"group{i % 5}/metric_{i}": i / 7 for i in range(40)}
SAMPLE_TEXT = "a response of a few hundred characters " * 10
MEMORY = {"rss": 3 << 30, "allocated": 1 << 30, "reserved": 2 << 30, "peak": 2 << 30}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small runs: shows that it works, not how fast")
    quick = parser.parse_args().quick
    scale, repeats = (20, 2) if quick else (1, 5)
    with tempfile.TemporaryDirectory() as folder:
        mixed, points = RunDir(Path(folder, "mixed")), RunDir(Path(folder, "points"))
        result = measure_writing(mixed, steps=5_000 // scale)
        write_points(points, steps=50_000 // scale, metrics=20)
        result |= measure_reading(mixed, points, repeats)
    for name, value in result.items():
        print(f"{name:<28} {value:>14,.4g}" if value < 1000 else f"{name:<28} {value:>14,.0f}")
    print(json.dumps(result))


def write_step(out: EventWriter, step: int) -> int:
    """One rank's events of a step; returns how many."""
    for name in PHASES:
        out.emit(Phase, step=step, name=name, state="begin")
        out.emit(Phase, step=step, name=name, state="end", seconds=0.01)
        out.emit(Memory, step=step, phase=name, **MEMORY)
    out.emit(Metric, step=step, values=METRICS)
    for _ in range(2):
        out.emit(Sample, step=step, prompt=SAMPLE_TEXT, response=SAMPLE_TEXT, reward=0.5)
    return 3 * len(PHASES) + 3


def measure_writing(run: RunDir, steps: int) -> dict[str, float]:
    """Median cost of a step's events over blocks of 50 steps."""
    out = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
    costs = []
    count = 0
    for first in range(1, steps + 1, 50):
        begin = time.perf_counter()
        for step in range(first, first + 50):
            count = write_step(out, step)
        costs.append((time.perf_counter() - begin) / 50)
    out.close()
    step_cost = statistics.median(costs)
    return {
        "events_per_step": count,
        "write_us_per_event": step_cost / count * 1e6,
        "write_us_per_step": step_cost * 1e6,
        "write_share_of_100ms_step": step_cost / STEP_S,
    }


def write_points(run: RunDir, steps: int, metrics: int) -> None:
    """A run of nothing but metrics."""
    out = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
    for step in range(1, steps + 1):
        values: dict[str, float | None] = {f"group{i % 5}/metric_{i}": step / (i + 1) for i in range(metrics)}
        out.write(Metric(t=float(step), rank=0, step=step, values=values))
    out.close()


def measure_reading(mixed: RunDir, points: RunDir, repeats: int) -> dict[str, float]:
    """Medians of several passes over both runs."""
    counts: dict[str, int] = {}

    def follow(run: RunDir) -> None:
        follower = EventFollower(run.events_dir)
        counts[run.name] = 0
        while events := follower.poll(1 << 20):
            counts[run.name] += len(events)

    follow_mixed = seconds_of(lambda: follow(mixed), repeats)
    follow_points = seconds_of(lambda: follow(points), repeats)
    view_mixed = seconds_of(lambda: RunView(mixed).load(), repeats)
    open_points = seconds_of(lambda: RunView(points).load(), repeats)
    megabytes = os.path.getsize(points.events_dir / "rank-00000.jsonl") / 1e6  # noqa: PTH202
    view = RunView(points).load()
    n_points = sum(len(series) for series in view.series.values())
    return {
        "read_events_per_s": counts["mixed"] / follow_mixed,
        "view_events_per_s": counts["mixed"] / view_mixed,
        "read_points_per_s": n_points / follow_points,
        "points": n_points,
        "points_megabytes": megabytes,
        "first_screen_s": seconds_of(lambda: RunView(points).refresh(), repeats),
        "open_all_points_s": open_points,
    }


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Median wall time."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
