"""The spine of the strategies: the same seed and data train the same policy under each of them."""

from typing import Any

import pytest

from tests.engine.policy_runs import assert_same_training, case, policy_runs

ZERO = {f"zero {stage}": {"zero_stage": stage} for stage in (1, 2, 3)}
UNEVEN = {"how": "uneven", "micro": 2}
CASES = {
    "fsdp2": case(),
    "fsdp2, whole on each rank": case(parallel={"fsdp_shard_size": 1}),
    **{name: case(parallel=stage) for name, stage in ZERO.items()},
    "zero 2, one response against eleven": case(parallel=ZERO["zero 2"], **UNEVEN),
    # The head runs once on one rank and many times on the other.
    "zero 3, one response against eleven, small chunks": case(
        parallel=ZERO["zero 3"], **UNEVEN, memory={"gradient_checkpointing": True, "chunk_size": 5}
    ),
    "zero 3, fused log-probs": case(
        parallel=ZERO["zero 3"], **UNEVEN, memory={"fused_linear_logprob": True, "chunk_size": 5}
    ),
}
FUSED = {"fused_linear_logprob": True, "chunk_size": 5}
UNTIED = {
    "zero 1": case(family="llama", parallel=ZERO["zero 1"]),
    "zero 3": case(family="llama", parallel=ZERO["zero 3"], **UNEVEN, memory={"chunk_size": 5}),
    "zero 3, fused head": case(family="llama", parallel=ZERO["zero 3"], **UNEVEN, memory=FUSED),
}

pytestmark = [pytest.mark.dist, pytest.mark.deepspeed, pytest.mark.slow]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cases = {"tied": case(micro=12), "untied": case(micro=12, family="llama")}
    return policy_runs(tmp_path_factory.mktemp("one"), nproc=1, **cases)


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("two"), nproc=2, **CASES)


@pytest.mark.parametrize("name", CASES)
def test_same_losses_norms_and_weights(
    name: str, one_process: dict[str, Any], two_ranks: dict[str, Any]
) -> None:
    assert_same_training(one_process["tied"], two_ranks[name], 1e-5)


def test_same_with_an_output_head_of_its_own(
    one_process: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On three ranks, which no parameter divides by."""
    three = policy_runs(tmp_path_factory.mktemp("three"), nproc=3, **UNTIED)
    for theirs in three.values():
        assert_same_training(one_process["untied"], theirs, 1e-5)


def test_clipping_is_part_of_it(one_process: dict[str, Any]) -> None:
    norms = [metrics["grad/norm"] for metrics in one_process["tied"]["metrics"].values()]
    assert min(norms) < 1.0 < max(norms)


def test_deepspeed_is_quiet(two_ranks: dict[str, Any]) -> None:
    assert two_ranks["zero 3"]["printed"] == ""
