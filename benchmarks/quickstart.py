"""The quickstart, with its learning rate and with learning rate 0: what GRPO does and what it does not.

    python benchmarks/quickstart.py [--quick] [--plot docs/images/quickstart.svg]

Each run starts from an empty cache, so the seconds are from nothing to finished. The last line is one JSON
object. `--plot` needs matplotlib (`pip install 'rftui[plots]'`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = {"GRPO": [], "learning rate 0": ["--actor-learning-rate", "0"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="20 steps: shows that it runs, not that it learns"
    )
    parser.add_argument("--plot", type=Path, help="write the curves to this SVG")
    args = parser.parse_args()
    extra = ["--max-steps", "20", "--eval-interval", "10"] if args.quick else ["--eval-interval", "25"]
    results = {}
    with tempfile.TemporaryDirectory() as name:
        for label, flags in RUNS.items():
            results[label] = run(Path(name) / label.replace(" ", "-"), [*flags, *extra])
    print(f"{'':18}{'greedy':>16}{'sampled':>16}{'seconds':>10}")
    for label, r in results.items():
        print(f"{label:18}{_rise(r['greedy']):>16}{_rise(r['sampled']):>16}{r['seconds']:10.0f}")
    if args.plot:
        plot(results, args.plot)
    print(json.dumps({label: _ends(r) for label, r in results.items()}))


def run(folder: Path, flags: list[str]) -> dict[str, Any]:
    """One quickstart from an empty cache: held-out accuracies by step, greedy and sampled, and seconds."""
    from engine.events import Metric
    from rftui.runs.follow import EventFollower

    started = time.perf_counter()
    rft = [sys.executable, "-m", "rftui", "launch", "quickstart", "--name", "quickstart", "--wait", "--json"]
    result = subprocess.run(
        [*rft, "--runs-dir", str(folder), *flags],
        env={**os.environ, "RFTUI_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        sys.exit(result.stdout + result.stderr)
    seconds = time.perf_counter() - started
    follower = EventFollower(folder / "quickstart" / "events")
    metrics = [e for e in follower.poll() if isinstance(e, Metric) and "eval/accuracy" in e.values]
    return {
        "summary": json.loads(result.stdout.splitlines()[-1]),
        "greedy": {e.step: e.values["eval/accuracy"] for e in metrics},
        "sampled": {e.step: e.values["eval/accuracy_t1"] for e in metrics},
        "seconds": seconds,
    }


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Held-out accuracy over steps."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for (label, r), colour in zip(results.items(), ("#2f6fb0", "#8a8a8a"), strict=True):
        axes.plot(r["greedy"].keys(), r["greedy"].values(), color=colour, label=f"{label}, greedy")
        axes.plot(
            r["sampled"].keys(), r["sampled"].values(), color=colour, ls="--", label=f"{label}, sampled"
        )
    axes.set(xlabel="optimizer step", ylabel="held-out accuracy", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _rise(curve: dict[int, float]) -> str:
    return f"{curve[min(curve)]:.3f} → {curve[max(curve)]:.3f}"


def _ends(r: dict[str, Any]) -> dict[str, float]:
    first, last = min(r["greedy"]), max(r["greedy"])
    return {
        "greedy_start": r["greedy"][first],
        "greedy_end": r["greedy"][last],
        "sampled_start": r["sampled"][first],
        "sampled_end": r["sampled"][last],
        "steps": last,
        "seconds": round(r["seconds"], 1),
    }


if __name__ == "__main__":
    # benchmarks/engine.py would hide the package of the same name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
