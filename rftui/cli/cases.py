"""`rft plan --case`: what is predicted for published configurations, one answer a line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import typer

from diagnostics.trainers.cases import evaluate_file
from engine.findings import EXIT_BAD_INPUT, EXIT_OK, Finding, FindingsError, Fix
from rftui.cli.columns import GAP, aligned, terminal_width


def answer_cases(path: Path, *, as_json: bool) -> NoReturn:
    """Print the answers to a JSONL file of cases, and end with 2 if a line has none.

    Raises FindingsError if the file cannot be read.
    """
    try:
        answers = list(evaluate_file(path))
    except OSError as error:
        cause = f"cannot read {path}: {error.strerror}."
        finding = Finding("case.file-unreadable", "error", cause, fixes=(Fix("give a JSONL file of cases"),))
        raise FindingsError([finding]) from error
    if as_json:
        for answer in answers:
            print(msgspec.json.encode(answer).decode())
    else:
        _print_table(path, answers)
    raise typer.Exit(EXIT_BAD_INPUT if any("error" in answer for answer in answers) else EXIT_OK)


def _print_table(path: Path, answers: Sequence[dict[str, Any]]) -> None:
    rows: list[tuple[str, ...]] = [("case", "fits", "peak", "host", "assumed")]
    rows += [_row(name, answer) for name, answer in zip(_names(path), answers, strict=True)]
    for cells in aligned(rows, right=(2, 3), width=terminal_width()):
        print(GAP.join(cells).rstrip())


def _row(name: str, answer: dict[str, Any]) -> tuple[str, ...]:
    if "error" in answer:
        return name, "error", "", "", answer["error"]["cause"]
    fits = "yes" if answer["fits"] else "no"
    return name, fits, f"{answer['peak_gb']:.1f}", f"{answer['host_gb']:.1f}", ", ".join(answer["missing"])


def _names(path: Path) -> list[str]:
    """What each case is of: model and GPUs, or the number of its line."""
    names = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            names.append(f"{row['model']}, {row.get('n_gpus') or '?'} × {row.get('gpu') or '?'}")
        except (ValueError, KeyError, TypeError, AttributeError):
            names.append(f"line {number}")
    return names
