"""Logs of other projects, whose causes were labelled before a pattern was tried on them.

They are rebuilt from public threads and from messages in the libraries' source: the program's own lines are
kept, hosts, times, paths and sizes are invented.
"""

import json
from pathlib import Path

import pytest

from benchmarks.diagnostics_logs import hidden
from diagnostics.knowledge.diagnose import diagnose
from diagnostics.knowledge.load import knowledge

CORPUS = Path(__file__).parent / "corpus"
ROWS = [json.loads(line) for line in (CORPUS / "labels.jsonl").read_text().splitlines()]
ALLOWED = 0.02


def said(path: Path) -> str:
    """The first cause, `none` where there is none."""
    findings = diagnose(str(path)).findings
    return findings[0].cause if findings else "none"


def check(rows: list[tuple[str, str, str]]) -> None:
    """`rows`: id, label, what was said."""
    wrong = [row for row in rows if row[1] != row[2]]
    assert len(wrong) <= ALLOWED * len(rows), wrong


def test_there_are_as_many_logs_as_labels():
    assert {path.stem for path in CORPUS.glob("*.log")} == {row["id"] for row in ROWS}
    assert len(ROWS) > 150


def test_the_cause_of_each_log_is_named():
    rows = [(row["id"], row["cause"], said(CORPUS / f"{row['id']}.log")) for row in ROWS]
    check(rows)
    groups = {**knowledge().groups, "none": "none"}
    assert [row for row in rows if groups[row[1]] != groups.get(row[2], "unknown")] == []


@pytest.mark.slow
def test_the_cause_is_named_amid_healthy_output(tmp_path: Path):
    rows = []
    for seed, row in enumerate(ROWS):
        path = tmp_path / f"{row['id']}.log"
        path.write_text(hidden((CORPUS / path.name).read_text(), lines=6000, seed=seed))
        rows.append((row["id"], row["cause"], said(path)))
        path.unlink()
    check(rows)


def test_numbers_of_the_log_are_in_the_fixes():
    fixes = {
        row["id"]: " ".join(f.text for f in diagnose(str(CORPUS / f"{row['id']}.log")).findings[0].fixes)
        for row in ROWS
        if row["id"] in ("vllm-10517", "vllm-free-mem-new", "verl-606", "openrlhf-346", "adaptthink-1")
    }
    assert "23648 tokens" in fixes["vllm-10517"]
    assert "31.2 of 79.19 GiB" in fixes["vllm-free-mem-new"]
    assert "60 is no multiple of 8" in fixes["verl-606"]
    assert "256 is not 2 × 18 × 7" in fixes["openrlhf-346"]
    assert "28 heads over 8 ranks" in fixes["adaptthink-1"]


def test_the_share_of_the_engine_is_raised_or_lowered_by_what_the_log_says():
    ways = {}
    for name in ("vllm-10517", "vllm-free-mem-new", "sglang-4330b", "sglang-5285"):
        fixes = diagnose(str(CORPUS / f"{name}.log")).findings[0].fixes
        ways[name] = {f.set["rollout.engine_mem_util"] for f in fixes if "rollout.engine_mem_util" in f.set}
    assert ways == {
        "vllm-10517": {"larger"},
        "vllm-free-mem-new": {"smaller"},
        "sglang-4330b": {"larger"},
        "sglang-5285": {"smaller"},
    }
