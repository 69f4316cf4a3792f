"""How well memory is predicted: against simulated ranks, real ranks, and other trainers' published runs.

    python benchmarks/planner.py [--quick] [--cases FILE.jsonl]

Simulated: the engine's train phase on fake ranks and tensors, bundled models × settings × ranks. Real: tiny
models on this CPU over gloo, bytes of live tensors. Cases: published configurations with known outcome, by
default `../shared/data/planner/cases.jsonl`; left out where there are none. The last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# engine.py beside this file would hide the package of that name.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import planner_cases, planner_real, planner_training  # noqa: E402

NOTHING = 2**20
"""Bytes below which a phase holds nothing on the device: states that are offloaded."""
QUICK = 3
"""Combinations that are simulated, and real runs, with --quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} simulations and real runs")
    parser.add_argument("--cases", type=Path, default=planner_cases.CASES, metavar="FILE.jsonl")
    args = parser.parse_args()
    started = time.perf_counter()
    count = QUICK if args.quick else None
    figures: dict[str, Any] = {"simulated": simulated(count), "real": real(count)}
    if args.cases.is_file():
        print(f"\nPublished cases, {args.cases.name}\n")
        scores = planner_cases.print_report(planner_cases.read_rows(args.cases))
        figures["cases"] = {key: value for key, value in scores.items() if key != "misses"}
    else:
        print(f"\nno published cases: {args.cases} is not there")
    figures["seconds"] = round(time.perf_counter() - started)
    print(json.dumps(figures))


def simulated(count: int | None) -> dict[str, Any]:
    """Predicted against simulated, printed row by row."""
    combinations = planner_training.COMBINATIONS[:count]
    print(f"Simulated ranks, {len(combinations)} combinations\n")
    found = []
    for row in planner_training.rows(combinations):
        if max(row.simulated, row.predicted) < NOTHING:
            continue
        lines = planner_training.table([row]).splitlines()
        print("\n".join(lines if not found else lines[-1:]), flush=True)
        found.append(row)
    return _errors([row.error for row in found], len(combinations))


def real(count: int | None) -> dict[str, Any]:
    """Predicted against real ranks, printed row by row."""
    runs = planner_real.RUNS[:count]
    print(f"\nReal ranks over gloo, {len(runs)} runs\n")
    print("| ranks | settings | phase | counted MB | predicted MB | error |\n|---|---|---|---|---|---|")
    errors = []
    for row in planner_real.rows(runs):
        print(
            f"| {row.ranks} | {row.settings} | {row.phase} | {row.counted / 1e6:.2f} | "
            f"{row.predicted / 1e6:.2f} | {row.error:+.1%} |",
            flush=True,
        )
        errors.append(row.error)
    return _errors(errors, len(runs))


def _errors(errors: list[float], combinations: int) -> dict[str, Any]:
    sizes = [abs(error) for error in errors]
    found = {"median_error": round(statistics.median(sizes), 5), "worst_error": round(max(sizes), 4)}
    print(f"\nmedian error {found['median_error']:.2%}, worst {found['worst_error']:.1%}")
    return {"combinations": combinations, **found}


if __name__ == "__main__":
    main()
