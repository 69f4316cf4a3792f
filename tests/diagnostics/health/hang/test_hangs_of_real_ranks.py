"""Real ranks over gloo: dumps of a bare program, and runs of the engine with a fault in one rank."""

from pathlib import Path

import pytest

from diagnostics.health.hang.analysis import Limits
from diagnostics.health.hang.dump_analysis import analyse_dumps
from engine.health import flight_recorder
from rftui.launch.processes import kill_processes_of
from tests.diagnostics.health.hang import faulty_runs
from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).with_name("gloo_program.py")


@pytest.mark.dist
@pytest.mark.slow
def test_followers_in_another_gloo_group_are_not_blamed(tmp_path: Path) -> None:
    run_ranks(PROGRAM, tmp_path, nproc=4, timeout=90)
    verdict = analyse_dumps([tmp_path / flight_recorder.FOLDER])
    assert (verdict.kind, verdict.ranks) == ("straggler", (2,))
    assert "gloo_program.py" in verdict.where and "Rank 2 is waited for" in verdict.said


@pytest.mark.dist
@pytest.mark.slow
def test_a_skipped_collective_of_the_engine_is_found(tmp_path: Path) -> None:
    with faulty_runs.silent_server() as port:
        faulty_runs.write_inputs(tmp_path, port)
    run = faulty_runs.started(tmp_path, "run", "skip", 1000)
    try:
        found = faulty_runs.analysed_when_stuck(run, Limits(collect_s=6, round_s=1, rounds=2))
    finally:
        kill_processes_of(run.path)
    verdict = found.verdict
    assert (verdict.kind, verdict.ranks) == ("desync", (faulty_runs.FAULTY,)), verdict
    assert found.seconds < 30 and (verdict.phase, verdict.step) == ("update", faulty_runs.STEP)
    kept = max((run.path / "diag").iterdir())
    assert {"verdict.json", "processes.json", "stacks-1.txt", "ras.txt"} <= {f.name for f in kept.iterdir()}
    assert len(list((kept / "flight_recorder").iterdir())) == faulty_runs.RANKS
