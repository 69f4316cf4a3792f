"""The health of a run that has ended."""

import time
from pathlib import Path

import pytest

from engine.config.load import dump_resolved, layer_from_sets, resolve
from rftui.runs.health import present_health
from rftui.runs.info import Exit, RunInfo, RunStatus
from rftui.runs.rundir import create


@pytest.mark.parametrize(
    ("status", "cause", "found"),
    [("failed", Exit("rank 1: killed by SIGKILL"), ["run.failed"]), ("finished", None, [])],
)
def test_a_run_that_failed_is_not_well(
    tmp_path: Path, status: RunStatus, cause: Exit | None, found: list[str]
) -> None:
    run = create(tmp_path, "run")
    run.config_path.write_text(dump_resolved(resolve([layer_from_sets(["model.pretrain=toy:sort"])])))
    run.write_info(RunInfo(name="run", status=status, created=time.time(), nproc=2, exit=cause))
    health = present_health(run)
    assert [finding.id for finding in health.findings] == found
    assert all("rank 1: killed by SIGKILL" in finding.cause for finding in health.findings)
