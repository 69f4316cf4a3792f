"""How long the front end takes to answer: whole processes of `rft --help` and of `rft runs` on 200 runs.

    python benchmarks/startup.py [--quick]

Alternates between the commands and prints median and minimum; fails if a target is missed by the median,
or if one of them imports torch, transformers or textual. The last line is JSON, times in milliseconds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# engine.py in this folder would hide the package of that name, so the folder gives way to the checkout.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from engine.events import EventWriter, Metric, Phase, Status  # noqa: E402
from rftui.runs.info import RunInfo  # noqa: E402
from rftui.runs.rundir import create  # noqa: E402

RUNS = 200
STEPS = 300
FORBIDDEN = ("torch", "transformers", "textual")
HELP, LIST = "rft --help", f"rft runs ({RUNS} runs)"
TARGET_MS = {HELP: 250, LIST: 300}


def main() -> int:
    """Measure; returns 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 15")
    repetitions = 3 if parser.parse_args().quick else 15
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = Path(folder)
        generate(runs_dir)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            HELP: [sys.executable, "-m", "rftui", "--help"],
            LIST: [sys.executable, "-m", "rftui", "runs", "--runs-dir", str(runs_dir)],
        }
        imported = {name: forbidden_imports(commands[name]) for name in TARGET_MS}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repetitions):
            for name, argv in commands.items():
                times[name].append(milliseconds(argv))
    print(
        f"{'command':<22} {'median':>8} {'min':>8} {'target':>8}   (ms, {repetitions} whole processes each)"
    )
    for name, values in times.items():
        target = str(TARGET_MS.get(name, ""))
        print(f"{name:<22} {statistics.median(values):>8.0f} {min(values):>8.0f} {target:>8}")
    for name, modules in imported.items():
        print(f"{name} imports {', '.join(modules) or 'none'} of {', '.join(FORBIDDEN)}")
    missed = [name for name, target in TARGET_MS.items() if statistics.median(times[name]) > target]
    summary = {
        "median_ms": {name: round(statistics.median(values), 1) for name, values in times.items()},
        "min_ms": {name: round(min(values), 1) for name, values in times.items()},
        "imported": imported,
        "missed": missed,
    }
    print(json.dumps(summary))
    return 1 if missed or any(imported.values()) else 0


def generate(runs_dir: Path) -> None:
    """Finished runs of `STEPS` steps with the events that a small run writes."""
    for number in range(RUNS):
        run = create(runs_dir, f"run-{number:03d}")
        began = time.time() - 3600 * number
        info = RunInfo(name=run.name, status="finished", created=began, preset="quickstart", steps=STEPS)
        info.started, info.ended, info.total_steps = began, began + 600, STEPS
        run.write_info(info)
        writer = EventWriter(run.events_dir / "rank-00000.jsonl", rank=0)
        for step in range(1, STEPS + 1):
            for name in ("rollout", "reward", "update", "sync"):
                writer.emit(Phase, step=step, name=name, state="end", seconds=0.1)
            writer.emit(
                Metric, step=step, values={f"metric/{i}": i / 7 for i in range(25)} | {"reward/mean": 0.5}
            )
        writer.emit(Status, state="finished", step=STEPS, total_steps=STEPS)
        writer.close()


def milliseconds(argv: list[str]) -> float:
    """Wall time of one whole process."""
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def forbidden_imports(argv: list[str]) -> list[str]:
    """Which of `FORBIDDEN` a command imports, as `-X importtime` tells."""
    traced = subprocess.run(
        [argv[0], "-X", "importtime", *argv[1:]], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.stderr.splitlines()}
    return sorted(imported & set(FORBIDDEN))


if __name__ == "__main__":
    sys.exit(main())
