"""What a person notices of the dashboard: how soon it shows, answers keys, opens long runs; what it costs.

The real program runs in a pseudo-terminal of 120×40 over generated runs, which grow by child processes:
8 ranks that write 10,000 events a second, 8 and 64 GPUs at 1 Hz with a step every second, 1,000,000
metric points, a log of 1 GB.

    python benchmarks/tui.py [--quick] [--only keys,watch,points,logs]

Needs `pip install rftui[bench]` (pyte). The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "benchmarks"))

import tui_keys  # noqa: E402
import tui_logs  # noqa: E402
import tui_runs  # noqa: E402
import tui_watch  # noqa: E402
from fake_run import finished_run  # noqa: E402

TARGETS = {
    "first_frame_s": 0.6,
    "live_numbers_s": 1.0,
    "key_p50_ms": 35,
    "key_p95_ms": 100,
    "switch_p50_ms": 120,
    "cpu_8gpu_pct": 3,
    "cpu_64gpu_pct": 5,
    "paused_pct": 0.5,
    "home_pct": 0.5,
    "million_first_s": 0.5,
    "million_points_s": 4,
    "million_memory_mb": 20,
    "zoom_ms": 50,
    "pan_ms": 50,
    "log_open_s": 0.5,
    "log_search_s": 3,
    "log_mb_per_million_lines": 5,
    "log_tail_lost": 0,
    "log_tail_pct": 25,
    "bytes_per_s": 10_000,
    "slow_bytes_per_s": 3_000,
}
AT_LEAST = {"log_tail_lines_per_s": 100_000}
PARTS = ("keys", "watch", "points", "logs")


def main() -> None:
    """Measure, and print a table with the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small: shows that it works, not how fast")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    args = parser.parse_args()
    result: dict[str, float] = {}
    for part in args.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            runs_dir = Path(folder, "runs")
            finished_run(runs_dir, "start", steps=200)
            result |= measure(part, runs_dir, args.quick)
    report(result)


def measure(part: str, runs_dir: Path, quick: bool) -> dict[str, float]:
    """One part of the figures."""
    if part == "keys":
        found = tui_keys.imported(runs_dir)
        if found:
            sys.exit(f"the program imports {', '.join(found)}")
        return {
            **tui_keys.starting(runs_dir, 2 if quick else 7),
            **tui_keys.pressing(runs_dir, 10_000, 12 if quick else 120),
        }
    if part == "watch":
        return watch(runs_dir, 4 if quick else 30)
    if part == "points":
        points = 100_000 if quick else 1_000_000
        tui_runs.million_points(runs_dir, points)
        return tui_watch.opening_points(runs_dir, points // 20, "start")
    if part == "logs":
        lines = tui_runs.big_log(runs_dir, 20_000_000 if quick else 1_000_000_000)
        return {
            **tui_logs.reading(runs_dir, lines),
            **tui_logs.tailing(runs_dir, 200_000 if quick else 2_000_000),
        }
    raise SystemExit(f"{part!r} is none of {', '.join(PARTS)}")


def watch(runs_dir: Path, seconds: float) -> dict[str, float]:
    """Few and many GPUs, steps of one and of ten seconds, a slow line, and home."""
    eight = tui_watch.watching(runs_dir, 8, seconds, 1.0)
    calm = tui_watch.watching(runs_dir.with_name("calm"), 8, seconds, 10.0)
    slow = tui_watch.watching(runs_dir.with_name("slow"), 8, seconds, 1.0, slow=True)
    many = tui_watch.watching(runs_dir, 64, seconds, 1.0)
    return {
        "cpu_8gpu_pct": eight["cpu_pct"],
        "cpu_8gpu_calm_pct": calm["cpu_pct"],
        "cpu_64gpu_pct": many["cpu_pct"],
        "paused_pct": eight["paused_pct"],
        "paused_64gpu_pct": many["paused_pct"],
        "bytes_per_s": eight["bytes_per_s"],
        "calm_bytes_per_s": calm["bytes_per_s"],
        "slow_bytes_per_s": slow["bytes_per_s"],
        "slow_pct": slow["cpu_pct"],
        "bytes_64gpu_per_s": many["bytes_per_s"],
        "memory_mb": eight["memory_mb"],
        "memory_64gpu_mb": many["memory_mb"],
        **tui_watch.resting(runs_dir, seconds),
    }


def report(result: dict[str, float]) -> None:
    """A table, then one line of JSON."""
    for name, value in result.items():
        most, least = TARGETS.get(name), AT_LEAST.get(name)
        wanted = f"≤ {most:g}" if most is not None else f"≥ {least:g}" if least is not None else ""
        kept = (most is None or value <= most) and (least is None or value >= least)
        word = "" if not wanted else "kept" if kept else "MISSED"
        print(f"{name:<26} {value:>12,.3f}  {wanted:<10} {word}")
    print(f"load of the machine, mean of a minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(json.dumps({name: round(value, 4) for name, value in result.items()}))


if __name__ == "__main__":
    main()
