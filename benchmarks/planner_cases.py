"""How well memory of other trainers' published configurations is predicted: outcomes and peaks.

    python -m benchmarks.planner_cases [FILE.jsonl]

FILE is a set of cases, by default `../shared/data/planner/cases.jsonl`.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diagnostics.trainers import tokens
from diagnostics.trainers.cases import Answer, answer
from diagnostics.trainers.notes import Note

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT.parent / "shared" / "data" / "planner" / "cases.jsonl"
NOT_SCORED = ("shipped", "estimate")
"""Grades of rows of which nobody measured whether they run."""
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Tried for the one fitted constant, `tokens.FURTHER`."""

Row = Mapping[str, Any]

REASONS = {
    ("verl", "oom"): "what fails is not the update (gathering, or waking the engine), which alone would fit",
    ("verl", "fits"): "GSM8K, its responses are short; or the boundary is missed by 4 to 7 % of the card",
    ("ms-swift", "fits"): "images or text shorter than the assumed share of the cap",
}
"""Of the known misses, by framework and true outcome."""


def read_rows(path: Path = CASES) -> list[Row]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def complete(row: Row) -> bool:
    """Whether a row is scored: it says what decides memory, and somebody saw its outcome."""
    note = Note((row["note"] or "").lower())
    named = ("params_b", "gpu_gb", "n_gpus", "micro_train_batch")
    sharding = row["zero_stage"] is not None or row["n_gpus"] == 1 or _shards(row["backend"] or "")
    checkpointing = row["grad_ckpt"] is not None or note.checkpointing is not None
    length = row["prompt_len"] or row["response_len"]
    told = all(row[key] for key in named) and length and sharding and checkpointing
    return bool(told and note.grade not in NOT_SCORED)


def score(rows: Iterable[Row]) -> dict[str, Any]:
    """Recall of `fits` and of `oom` (`oom_host` with it), and median |relative error| of the peaks."""
    scored = [(row, answer(row)) for row in rows if complete(row)]
    errors = [(row, error) for row, found in scored if (error := peak_error(row, found)) is not None]
    measured = [error for row, error in errors if Note(row["note"].lower()).grade == "measured"]
    return {
        "rows": len(scored),
        "recall_fits": _recall(scored, fits=True),
        "recall_oom": _recall(scored, fits=False),
        "peaks": len(errors),
        "median_error": _median(error for _, error in errors),
        "median_error_measured": _median(measured),
        "bias": statistics.median(error for _, error in errors) if errors else None,
        "misses": [(row, found) for row, found in scored if found.fits != (row["outcome"] == "fits")],
        "frameworks": _by_framework(scored),
    }


def peak_error(row: Row, found: Answer) -> float | None:
    """Relative error of a peak, both in the unit of the row's note."""
    return found.peak_gb / row["peak_gb"] - 1 if row["peak_gb"] else None


def cross_validate(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The fitted constant from one half of the projects' recipes, scored on the other, both ways.

    Halves are of whole source files, so that variants of one recipe stay together.
    """
    rows = [row for row in rows if complete(row)]
    sources = sorted({row["source"] for row in rows})
    halves = [[row for row in rows if (sources.index(row["source"]) % 2) == half] for half in (0, 1)]
    results = []
    for fitted, held in (halves, halves[::-1]):
        best = min(SHARES, key=lambda share: _error_with(share, fitted))
        with further(best):
            results.append({"share": best, "fitted": score(fitted), "held": score(held)})
    return results


@contextmanager
def further(share: float) -> Any:
    """`tokens.FURTHER` is `share` meanwhile."""
    kept = tokens.FURTHER
    tokens.FURTHER = share
    try:
        yield
    finally:
        tokens.FURTHER = kept


def print_report(rows: list[Row]) -> dict[str, Any]:
    """Print the table that docs/planner.md shows; returns the figures."""
    figures = score(rows)
    print(f"{figures['rows']} scored rows of {len(rows)}")
    for key in ("recall_fits", "recall_oom", "median_error", "median_error_measured", "bias"):
        print(f"  {key:24}{_percent(figures[key])}")
    print(f"\n{'framework':14}{'rows':>6}{'fits':>9}{'oom':>9}{'peaks':>7}{'median error':>14}")
    for name, of in figures["frameworks"].items():
        cells = f"{_percent(of['recall_fits']):>9}{_percent(of['recall_oom']):>9}{of['peaks']:>7}"
        print(f"{name:14}{of['rows']:>6}{cells}{_percent(of['median_error']):>14}")
    print("\nmisses")
    for row, found in figures["misses"]:
        reason = REASONS.get((found.framework, row["outcome"]), "")
        print(f"  {row['model']}, {row['outcome']}, predicted {found.peak_gb} {found.unit}: {reason}")
        print(f"    {row['source']}, micro-batch {row['micro_train_batch']}")
    print("\ncross-validation (fitted → held out)")
    for result in cross_validate(rows):
        pair = " → ".join(_percent(result[half]["median_error"]) for half in ("fitted", "held"))
        recalls = " ".join(_percent(result["held"][key]) for key in ("recall_fits", "recall_oom"))
        print(f"  share {result['share']}: median error {pair}; held-out recall of fits and oom {recalls}")
    return figures


def _shards(backend: str) -> bool:
    return any(name in backend for name in ("fsdp", "ddp", "dtensor", "megatron"))


def _recall(scored: Iterable[tuple[Row, Answer]], *, fits: bool) -> float | None:
    right = [found.fits == fits for row, found in scored if (row["outcome"] == "fits") == fits]
    return sum(right) / len(right) if right else None


def _by_framework(scored: list[tuple[Row, Answer]]) -> dict[str, dict[str, Any]]:
    table = {}
    for name in sorted({found.framework for _, found in scored}):
        of = [(row, found) for row, found in scored if found.framework == name]
        errors = [error for row, found in of if (error := peak_error(row, found)) is not None]
        table[name] = {
            "rows": len(of),
            "recall_fits": _recall(of, fits=True),
            "recall_oom": _recall(of, fits=False),
            "peaks": len(errors),
            "median_error": _median(errors),
        }
    return table


def _error_with(share: float, rows: list[Row]) -> float:
    """Mean, as the median hardly moves: few rows depend on the share."""
    with further(share):
        errors = [abs(error) for row in rows if (error := peak_error(row, answer(row))) is not None]
    return statistics.mean(errors)


def _median(errors: Iterable[float]) -> float | None:
    return statistics.median(sizes) if (sizes := [abs(error) for error in errors]) else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    print_report(read_rows(Path(sys.argv[1]) if len(sys.argv) > 1 else CASES))
