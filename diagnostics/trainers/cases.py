"""Published configurations with a known memory outcome: what this project predicts for them.

A case is a JSON object as in the published set: dimensions in fields, the rest in a free-text `note`. Every
field that is absent or null is assumed, and named as assumed in the answer.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from diagnostics.trainers.estimate import estimate
from diagnostics.trainers.read_case import read_case
from engine.findings import Finding, FindingsError
from engine.footprint.terms import Term


class Answer(msgspec.Struct, frozen=True):
    """The prediction for one case. `peak_gb` is in the unit that the case's note names for it, GB or GiB."""

    fits: bool
    peak_gb: float
    host_gb: float
    missing: list[str]
    unit: str = "GiB"
    framework: str = ""
    moment: str = ""
    terms: tuple[Term, ...] = ()
    """Device memory of one rank at that moment."""


def answer(row: Mapping[str, Any]) -> Answer:
    """What the configuration in `row` needs. Raises FindingsError where it says too little or nonsense."""
    case = read_case(row)
    needed = estimate(case.profile, case.setup)
    fits = needed.device <= case.setup.card
    if case.host_capacity is not None:
        fits = fits and needed.host <= case.host_capacity
    return Answer(
        fits=fits,
        peak_gb=round(needed.peak / case.unit, 2),
        host_gb=round(needed.host / 1e9, 2),
        missing=list(case.missing),
        unit="GB" if case.unit == 10**9 else "GiB",
        framework=case.profile.name,
        moment=needed.moment,
        terms=needed.terms,
    )


def evaluate_file(path: Path) -> Iterator[dict[str, Any]]:
    """One answer for each line of a JSONL file, in order; `{"error": finding}` for a line that has none."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _evaluate_line(line, number)


def _evaluate_line(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        found = answer(row)
    except (ValueError, RecursionError) as error:
        return {"error": msgspec.to_builtins(_not_a_case(number, str(error)))}
    except FindingsError as error:
        return {"error": msgspec.to_builtins(error.findings[0])}
    return {"fits": found.fits, "peak_gb": found.peak_gb, "host_gb": found.host_gb, "missing": found.missing}


def _not_a_case(number: int, why: str) -> Finding:
    return Finding(id="case.not-json", severity="error", cause=f"line {number} is not a case: {why}.")
