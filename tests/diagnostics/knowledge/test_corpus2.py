"""Logs rebuilt from public threads of many projects: engine, training, data, checkpoint, environment."""

import json
from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose

FOLDER = Path(__file__).parent / "corpus2"
LABELS: dict[str, str] = {
    row["id"]: row["cause"] for row in map(json.loads, (FOLDER / "labels.jsonl").read_text().splitlines())
}
GUIDES = {
    "AssertionError: Engine already sleeping": "engine-sleep-failure",
    "Loss: nan": "nan-loss",
    "Gradient: nan": "nan-loss",
    "FileNotFoundError: Checkpoint not found": "checkpoint-missing",
    "RuntimeError: Error loading state dict": "checkpoint-shape-mismatch",
    "ERROR: Failed building wheel for vllm": "native-build-failed",
    "ModuleNotFoundError: No module named 'lightrft'": "python-dependency-missing",
    "RuntimeError: CUDA error: no kernel image is available for execution": "no-kernel-image",
}
"""Symptoms of the guides that come with trainers, as they print them."""


def _cause(log: Path) -> str:
    findings = diagnose(str(log)).findings
    return findings[0].cause if findings else "none"


@pytest.mark.parametrize("name", sorted(LABELS))
def test_a_log_of_a_thread_is_told(name: str) -> None:
    assert _cause(FOLDER / f"{name}.log") == LABELS[name]


def test_every_log_has_a_label() -> None:
    assert {path.stem for path in FOLDER.glob("*.log")} == set(LABELS)


@pytest.mark.parametrize("symptom", GUIDES)
def test_a_symptom_of_a_guide_is_told(symptom: str, tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(f"step 10 | loss 0.31\n{symptom}\n")
    assert _cause(log) == GUIDES[symptom]
