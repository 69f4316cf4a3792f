"""Training with sequences split over ranks gives what training on one rank gives."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.findings import FindingsError
from engine.models.actor import Actor
from engine.strategy.groups import RankGroup
from tests.engine.ranks import run_ranks
from tests.engine.tiny import tiny_model

PROGRAM = Path(__file__).parent / "programs" / "sequence_parallel_steps.py"


def steps(path: Path, nproc: int, **config: dict[str, Any]) -> dict[str, Any]:
    run_ranks(PROGRAM, path, json.dumps(config), nproc=nproc)
    return torch.load(path)


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return steps(tmp_path_factory.mktemp("one") / "out.pt", nproc=1)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return steps(tmp_path_factory.mktemp("two") / "out.pt", nproc=2, parallel={"sp_size": 2})


def assert_same(other: dict[str, Any], one: dict[str, Any]) -> None:
    for theirs, ours in zip(other["metrics"], one["metrics"], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5, abs=1e-6)
    for kind, expected in one["logprobs"].items():
        torch.testing.assert_close(other["logprobs"][kind], expected, rtol=1e-5, atol=1e-5)
    difference = torch.cat([(other["weights"][n] - w).flatten() for n, w in one["weights"].items()]).norm()
    size = torch.cat([w.flatten() for w in one["weights"].values()]).norm()
    assert difference / size < 1e-6


@pytest.mark.dist
@pytest.mark.slow
def test_two_ranks_that_share_sequences(one_rank: dict[str, Any], two_ranks: dict[str, Any]) -> None:
    """The same log-probs, losses, norms and weights."""
    assert_same(two_ranks, one_rank)


@pytest.mark.dist
@pytest.mark.slow
def test_each_rank_forwards_half_which_counts_once(
    one_rank: dict[str, Any], two_ranks: dict[str, Any]
) -> None:
    ((alone,), (first, second)) = one_rank["tokens"], two_ranks["tokens"]
    assert first == second == [-(-tokens // 2) for tokens in alone]
    assert two_ranks["counted"] == one_rank["counted"] > 0


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize(
    ("nproc", "config"),
    [
        pytest.param(4, {"parallel": {"sp_size": 2}}, id="two pairs of ranks"),
        pytest.param(4, {"parallel": {"sp_size": 4}}, id="more ranks than key heads"),
        pytest.param(
            2,
            {
                "parallel": {"sp_size": 2},
                "memory": {"gradient_checkpointing": True, "fused_linear_logprob": True, "chunk_size": 5},
            },
            id="recomputed activations, fused log-probs in small chunks",
        ),
        pytest.param(
            2,
            {
                "parallel": {"sp_size": 2},
                "memory": {"packing_samples": True},
                "batch": {"max_tokens_per_micro_batch": 40},
            },
            id="token budget, packed",
        ),
    ],
)
def test_other_arrangements(
    nproc: int, config: dict[str, Any], one_rank: dict[str, Any], tmp_path: Path
) -> None:
    assert_same(steps(tmp_path / "out.pt", nproc, **config), one_rank)


def test_families_whose_attention_cannot_be_split_are_refused() -> None:
    with pytest.raises(FindingsError) as caught:
        Actor(
            tiny_model("gemma2"),
            temperature=1.0,
            chunk_size=8,
            sequence_group=RankGroup("sequence", (0, 1), 0, None),
        )
    (finding,) = caught.value.findings
    assert (finding.id, finding.param) == ("parallel.sp-unsupported-model", "parallel.sp_size")
    assert "gemma2" in finding.cause
    assert "llama, mistral, qwen2, qwen3" in finding.evidence[0]
