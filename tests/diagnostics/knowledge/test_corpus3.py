"""Logs rebuilt from threads of 150 projects, and healthy logs with warnings that look like failures."""

import json
from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose

FOLDER = Path(__file__).parent / "corpus3"
LABELS: dict[str, str] = {
    row["id"]: row["cause"] for row in map(json.loads, (FOLDER / "labels.jsonl").read_text().splitlines())
}
"""The cause of each log: `none` where nothing failed, `unknown` where no cause of the taxonomy fits."""


def _cause(log: Path) -> str:
    findings = diagnose(str(log)).findings
    return findings[0].cause if findings else "none"


@pytest.mark.parametrize("name", sorted(LABELS))
def test_the_cause_of_a_thread_is_told(name: str) -> None:
    assert _cause(FOLDER / f"{name}.log") == LABELS[name]


def test_every_log_of_the_threads_has_a_label() -> None:
    assert {path.stem for path in FOLDER.glob("*.log")} == set(LABELS)
