"""The labelled logs: right causes and groups, no alarm on healthy ones; the same amid healthy output."""

import pytest

from benchmarks.diagnostics_logs import Row, hidden, judged, labels

LABELS = labels()
pytestmark = pytest.mark.skipif(not LABELS, reason="the labelled logs are not here")


def check(rows: list[Row]) -> None:
    failures = [row for row in rows if row.cause != "none"]
    wrong = [f"{row.id}: {row.cause}, said {row.said}" for row in failures if row.said != row.cause]
    assert len(wrong) <= 0.02 * len(failures), wrong
    assert [row for row in failures if not row.right_group] == []
    assert [row for row in rows if row.cause == "none" and row.said != "none"] == []


def test_the_logs_as_they_are():
    check(list(judged(LABELS, str)))


@pytest.mark.slow
def test_each_log_amid_healthy_output_of_eight_ranks():
    check(list(judged(LABELS, hidden)))
