"""The promise of the README: from nothing to a trained model in four minutes on two cores, thanks to GRPO."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.quickstart import run


def rise(curve: dict[int, float]) -> float:
    return curve[max(curve)] - curve[min(curve)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("grpo"), [])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_grpo_solves_the_task_in_time(trained: dict[str, Any]) -> None:
    greedy, sampled = trained["greedy"], trained["sampled"]
    assert sampled[0] <= 0.5
    assert greedy[max(greedy)] >= 0.9
    assert rise(sampled) >= 0.3
    assert trained["seconds"] <= 240
    summary = trained["summary"]
    assert summary["status"] == "finished"
    assert summary["steps"] == max(greedy)
    assert summary["eval"]["accuracy"] == greedy[max(greedy)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_learning_rate_nothing_rises(tmp_path: Path) -> None:
    idle = run(tmp_path, ["--actor-learning-rate", "0", "--max-steps", "60", "--eval-interval", "20"])
    assert len(idle["greedy"]) == 4
    assert rise(idle["greedy"]) == rise(idle["sampled"]) == 0


@pytest.mark.dist
@pytest.mark.timeout(300)
def test_the_same_preset_runs_on_two_ranks(tmp_path: Path) -> None:
    two = run(tmp_path, ["--nproc", "2", "--max-steps", "4", "--eval-interval", "2"])
    assert two["summary"]["status"] == "finished"
    assert set(two["greedy"]) == {0, 2, 4}
