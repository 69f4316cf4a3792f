"""The result of training does not depend on ranks, micro-batches or how responses are dealt to ranks."""

from typing import Any

import pytest
import torch

from tests.engine.policy_runs import assert_same_training, case, policy_runs

ONE_RANK = {"whole": case(micro=12), "small micro-batches": case(micro=2)}
TWO_RANKS = {
    "small micro-batches": case(micro=2),
    "token budget": case(micro=1, budget=40),
    "one response against eleven": case(micro=2, how="uneven"),
    "recomputed activations, small chunks": case(
        micro=3, memory={"gradient_checkpointing": True, "chunk_size": 5}
    ),
    "fused log-probs": case(micro=3, memory={"fused_linear_logprob": True, "chunk_size": 5}),
    "host memory offload": case(micro=3, memory={"fsdp_cpu_offload": True}),
    "bfloat16": case(micro=4, model={"bf16": True}),
}

pytestmark = pytest.mark.dist


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("one"), nproc=1, **ONE_RANK)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("two"), nproc=2, **TWO_RANKS)


def test_same_on_one_rank(one_rank: dict[str, Any]) -> None:
    assert_same_training(one_rank["whole"], one_rank["small micro-batches"], 5e-6)


@pytest.mark.parametrize("name", [name for name in TWO_RANKS if name != "bfloat16"])
def test_same_on_two_ranks(name: str, one_rank: dict[str, Any], two_ranks: dict[str, Any]) -> None:
    assert_same_training(one_rank["whole"], two_ranks[name], 5e-6)


def test_first_step_starts_at_the_reference(one_rank: dict[str, Any]) -> None:
    metrics = one_rank["whole"]["metrics"]
    assert metrics[0]["policy/ratio_mean"] == metrics[0]["policy/ratio_max"] == 1.0
    assert metrics[0]["kl/ref"] == pytest.approx(0.0, abs=1e-6)
    assert metrics[1]["kl/ref"] > 1e-5


def test_bf16_trains_on_two_ranks(one_rank: dict[str, Any], two_ranks: dict[str, Any]) -> None:
    ours, theirs = one_rank["whole"]["metrics"], two_ranks["bfloat16"]["metrics"]
    assert all(w.dtype == torch.float32 for w in two_ranks["bfloat16"]["weights"].values())
    for step in ours:
        assert theirs[step]["policy/loss"] == pytest.approx(ours[step]["policy/loss"], abs=0.05)
    assert theirs[0] != ours[0]
