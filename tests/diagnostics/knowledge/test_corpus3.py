"""Logs rebuilt from threads of 150 projects, and healthy logs with warnings that look like failures."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.knowledge.diagnose import diagnose

FOLDER = Path(__file__).parent / "corpus3"
LABELS: dict[str, str] = {
    row["id"]: row["cause"] for row in map(json.loads, (FOLDER / "labels.jsonl").read_text().splitlines())
}
"""The cause of each log: `none` where nothing failed, `unknown` where no cause of the taxonomy fits."""
SITE = re.compile(r'(?<=["“ ])[^"“ ]*?/(?=(?:site|dist)-packages/)')
HOME = "/home/eve/miniconda3/envs/agent_reward_dataset/lib/python3.11/"
DRESSES: dict[str, Callable[[str], str]] = {
    "an environment of a telling name": lambda text: SITE.sub(HOME, text),
    "times of containers": lambda text: "".join(
        f"2025-11-03T08:12:{number % 60:02d}.000000Z {line}"
        for number, line in enumerate(text.splitlines(keepends=True))
    ),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
}
"""Ways in which the same log may look elsewhere."""


def _cause(log: Path) -> str:
    findings = diagnose(str(log)).findings
    return findings[0].cause if findings else "none"


@pytest.mark.parametrize("name", sorted(LABELS))
def test_the_cause_of_a_thread_is_told(name: str) -> None:
    assert _cause(FOLDER / f"{name}.log") == LABELS[name]


def test_every_log_of_the_threads_has_a_label() -> None:
    assert {path.stem for path in FOLDER.glob("*.log")} == set(LABELS)


@pytest.mark.parametrize("dress", DRESSES)
def test_what_does_not_matter_changes_no_cause(dress: str, tmp_path: Path) -> None:
    told = {}
    for name in LABELS:
        log = tmp_path / f"{name}.log"
        log.write_text(DRESSES[dress]((FOLDER / log.name).read_text()), newline="")
        told[name] = _cause(log)
    assert {name: cause for name, cause in told.items() if cause != LABELS[name]} == {}
