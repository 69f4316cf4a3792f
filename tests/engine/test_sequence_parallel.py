"""Training with sequences split over ranks gives what training on one rank gives."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).parent / "programs" / "sequence_parallel_steps.py"


CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "two ranks share sequences": (2, {"parallel": {"sp_size": 2}}),
    "recomputed activations, fused log-probs in small chunks": (
        2,
        {
            "parallel": {"sp_size": 2},
            "memory": {"gradient_checkpointing": True, "fused_linear_logprob": True, "chunk_size": 5},
        },
    ),
    "token budget, packed": (
        2,
        {
            "parallel": {"sp_size": 2},
            "memory": {"packing_samples": True},
            "batch": {"max_tokens_per_micro_batch": 40},
        },
    ),
    "two pairs of ranks": (4, {"parallel": {"sp_size": 2}}),
    "more ranks than key heads": (4, {"parallel": {"sp_size": 4}}),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came out, by case, and with `one rank`."""
    folder = tmp_path_factory.mktemp("results")
    for nproc, cases in (
        (1, {"one rank": {}}),
        *((n, {name: config for name, (ranks, config) in CASES.items() if ranks == n}) for n in (2, 4)),
    ):
        run_ranks(PROGRAM, folder, json.dumps(cases), nproc=nproc)
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_same_log_probs_losses_norms_and_weights(case: str, results: dict[str, Any]) -> None:
    one, other = results["one rank"], results[case]
    for theirs, ours in zip(other["metrics"], one["metrics"], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-6)
    for kind, expected in one["logprobs"].items():
        torch.testing.assert_close(other["logprobs"][kind], expected, rtol=1e-5, atol=1e-5)
    difference = torch.cat([(other["weights"][n] - w).flatten() for n, w in one["weights"].items()]).norm()
    size = torch.cat([w.flatten() for w in one["weights"].values()]).norm()
    assert difference / size < 1e-6


@pytest.mark.dist
@pytest.mark.slow
def test_each_rank_forwards_half_which_counts_once(results: dict[str, Any]) -> None:
    one, two = results["one rank"], results["two ranks share sequences"]
    ((alone,), (first, second)) = one["tokens"], two["tokens"]
    assert first == second == [-(-tokens // 2) for tokens in alone]
    assert two["counted"] == one["counted"] > 0
