"""Precision and memory options change where numbers are kept, not what is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.policy_runs import assert_same_training, case, distance, policy_runs

BF16 = {"bf16": True}
STAGES = (1, 2, 3)
CASES = {
    "fsdp2, adam_offload": case(memory={"adam_offload": True}),
    **{
        f"zero {stage}, adam_offload": case(parallel={"zero_stage": stage}, memory={"adam_offload": True})
        for stage in STAGES
    },
    "fsdp2, poisoned": case(poisoned=1),
    **{f"zero {stage}, poisoned": case(poisoned=1, parallel={"zero_stage": stage}) for stage in STAGES},
    "zero 2, adam_offload, poisoned": case(
        poisoned=1, parallel={"zero_stage": 2}, memory={"adam_offload": True}
    ),
}
LEVEL_CASES = {
    "fsdp2": case(level=0, model=BF16),
    **{f"zero {stage}": case(level=0, model=BF16, parallel={"zero_stage": stage}) for stage in STAGES},
}
BF16_CASES = {
    "fsdp2": case(model=BF16),
    "mp_opt": case(model=BF16, memory={"use_mp_opt": True}),
    "mp_opt, adam_offload": case(model=BF16, memory={"use_mp_opt": True, "adam_offload": True}),
    **{f"zero {stage}": case(model=BF16, parallel={"zero_stage": stage}) for stage in STAGES},
    "zero 2, adam_offload": case(model=BF16, parallel={"zero_stage": 2}, memory={"adam_offload": True}),
    "fsdp2, poisoned": case(model=BF16, poisoned=1),
    **{
        f"zero {stage}, poisoned": case(model=BF16, poisoned=1, parallel={"zero_stage": stage})
        for stage in STAGES
    },
}

pytestmark = [pytest.mark.dist, pytest.mark.deepspeed, pytest.mark.slow]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    cases = {"plain": case(micro=12), "poisoned": case(micro=12, poisoned=1)}
    return policy_runs(tmp_path_factory.mktemp("one"), nproc=1, **cases)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("fp32"), nproc=2, **CASES)


@pytest.fixture(scope="module")
def bf16(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("bf16"), nproc=2, **BF16_CASES)


@pytest.mark.parametrize("name", [name for name in CASES if "poisoned" not in name])
def test_offloaded_optimizers_train_the_same(
    name: str, one_process: dict[str, Any], fp32: dict[str, Any]
) -> None:
    assert_same_training(one_process["plain"], fp32[name], 1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if "poisoned" in name])
def test_a_norm_that_is_not_finite_skips_the_update_everywhere(
    name: str, one_process: dict[str, Any], fp32: dict[str, Any]
) -> None:
    ours, theirs = one_process["poisoned"], fp32[name]
    assert not torch.tensor(theirs["metrics"][1]["grad/norm"]).isfinite()
    assert theirs["metrics"][2] == pytest.approx(ours["metrics"][2], rel=1e-5, abs=1e-5)
    assert distance(ours["state"], theirs["state"]) < 1e-5
    assert {float(t) for n, t in theirs["state"].items() if n.endswith(".step")} == {2.0}
    assert theirs["printed"].count("actor: gradient norm") == sum("poisoned" in name for name in CASES)


@pytest.mark.parametrize("stage", STAGES)
def test_zero_in_bfloat16_is_fsdp2_in_bfloat16(stage: int, bf16: dict[str, Any]) -> None:
    ours, theirs = bf16["fsdp2"], bf16[f"zero {stage}"]
    assert {t.dtype for t in theirs["weights"].values()} == {torch.bfloat16}
    assert {t.dtype for t in theirs["state"].values()} == {torch.float32}
    assert_same_training(ours, theirs, 1e-5)
    skipped = bf16[f"zero {stage}, poisoned"]
    assert distance(bf16["fsdp2, poisoned"]["state"], skipped["state"]) < 1e-5
    assert distance(ours["state"], skipped["state"]) > 1e-4


def test_gradients_may_all_be_zero(tmp_path: Path) -> None:
    """As where every group of responses has one and the same reward, at the beginning."""
    results = policy_runs(tmp_path, nproc=2, **LEVEL_CASES)
    assert results["fsdp2"]["metrics"][0]["grad/norm"] == 0.0
    for theirs in results.values():
        assert_same_training(results["fsdp2"], theirs, 1e-5)


def test_zero_offload_in_bfloat16(bf16: dict[str, Any]) -> None:
    assert_same_training(bf16["fsdp2"], bf16["zero 2, adam_offload"], 1e-5)


def test_bfloat16_parameters_with_masters_track_float32_parameters(bf16: dict[str, Any]) -> None:
    ours, theirs = bf16["fsdp2"], bf16["mp_opt"]
    assert {t.dtype for t in theirs["weights"].values()} == {torch.bfloat16}
    assert {t.dtype for t in theirs["state"].values()} == {torch.float32}
    for step, metrics in ours["metrics"].items():
        for name in ("policy/loss", "grad/norm", "policy/entropy"):
            assert theirs["metrics"][step][name] == pytest.approx(metrics[name], rel=0.01, abs=1e-3)
    assert distance(ours["state"], theirs["state"]) < 3e-3  # half a bfloat16 step of where it began, and more
    assert theirs["metrics"] == bf16["mp_opt, adam_offload"]["metrics"]
    assert distance(theirs["state"], bf16["mp_opt, adam_offload"]["state"]) == 0


def test_groups_that_shard_and_replicas_of_them(
    one_process: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """HSDP on four ranks, also where each group of them meets other numbers of tokens."""
    shard = {"fsdp_shard_size": 2}
    cases = {"even": case(parallel=shard), "uneven": case(parallel=shard, how="uneven", micro=2)}
    four = policy_runs(tmp_path_factory.mktemp("four"), nproc=4, **cases)
    assert_same_training(one_process["plain"], four["even"], 1e-5)
    assert_same_training(one_process["plain"], four["uneven"], 1e-5)
