"""A checkpoint of any strategy is exact, and any other strategy and number of ranks goes on from it."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.checkpoint.export import main as export
from engine.checkpoint.store import read_metadata, read_shards
from engine.checkpoint.tensors import MODEL, saved_tensors
from tests.engine.policy_runs import assert_same_training, case, distance, policy_runs

BF16 = {"bf16": True}
KINDS = {
    "fsdp2": case(),
    "hsdp": case(parallel={"fsdp_shard_size": 1}),
    "zero 1": case(parallel={"zero_stage": 1}),
    "zero 2": case(parallel={"zero_stage": 2}, memory={"adam_offload": True}),
    "zero 3": case(parallel={"zero_stage": 3}),
    "fsdp2 in bf16": case(model=BF16),
    "mp_opt": case(model=BF16, memory={"use_mp_opt": True, "adam_offload": True}),
    "zero 1 in bf16": case(model=BF16, parallel={"zero_stage": 1}),
    "zero 2 in bf16": case(model=BF16, parallel={"zero_stage": 2}, memory={"adam_offload": True}),
    "zero 3 in bf16": case(model=BF16, parallel={"zero_stage": 3}),
}
FP32 = [kind for kind in KINDS if "bf16" not in kind and kind != "mp_opt"]
TAKEN_OVER = [
    *[(a, b) for a, b in product(FP32, FP32) if a != b],
    ("fsdp2 in bf16", "zero 3 in bf16"),
    ("zero 1 in bf16", "mp_opt"),
    ("mp_opt", "fsdp2 in bf16"),
    ("mp_opt", "zero 2 in bf16"),
    ("zero 3", "mp_opt"),
]

pytestmark = [pytest.mark.dist, pytest.mark.deepspeed, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def straight(folder: Path) -> dict[str, Any]:
    """Three steps of each kind without a break, which leave a checkpoint after the first."""
    cases = {kind: {**options, "save": str(folder / kind)} for kind, options in KINDS.items()}
    return policy_runs(folder / "straight", nproc=2, **cases)


@pytest.fixture(scope="module")
def resumed(folder: Path, straight: dict[str, Any]) -> dict[str, Any]:
    """The last two steps of each kind, from its own checkpoint, in other processes."""
    cases = {kind: {**options, "resume": str(folder / kind / "step-1")} for kind, options in KINDS.items()}
    return policy_runs(folder / "resumed", nproc=2, **cases)


@pytest.fixture(scope="module")
def taken_over(folder: Path, straight: dict[str, Any]) -> dict[str, Any]:
    """Kinds that have loaded the checkpoint of another, and not stepped."""
    cases = {
        f"{saved} → {kind}": {**KINDS[kind], "resume": str(folder / saved / "step-1"), "until": 1}
        for saved, kind in TAKEN_OVER
    }
    return policy_runs(folder / "taken over", nproc=2, **cases)


@pytest.mark.parametrize("kind", KINDS)
def test_resuming_is_bit_exact(kind: str, straight: dict[str, Any], resumed: dict[str, Any]) -> None:
    ours, theirs = straight[kind], resumed[kind]
    assert {step: ours["metrics"][step] for step in (1, 2)} == theirs["metrics"]
    assert distance(ours["state"], theirs["state"]) == 0
    assert distance(ours["weights"], theirs["weights"]) == 0


@pytest.mark.parametrize(("saved", "kind"), TAKEN_OVER)
def test_another_strategy_takes_over_exactly(
    saved: str, kind: str, folder: Path, taken_over: dict[str, Any]
) -> None:
    result = taken_over[f"{saved} → {kind}"]
    assert distance(read(folder / saved / "step-1"), result["state"]) == 0
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(result["weights"][name], result["state"][MODEL + name].to(dtype(result)))


def test_other_numbers_of_ranks_go_on(
    folder: Path, straight: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    start = {"resume": str(folder / "zero 3" / "step-1")}
    one = policy_runs(
        tmp_path_factory.mktemp("one"),
        nproc=1,
        **{"plain": case(**start), "zero 2": {**KINDS["zero 2"], **start}},
    )
    three = policy_runs(
        tmp_path_factory.mktemp("three"),
        nproc=3,
        **{kind: {**KINDS[kind], **start} for kind in ("zero 1", "zero 3")},
    )
    ours = {**straight["fsdp2"], "metrics": {s: straight["fsdp2"]["metrics"][s] for s in (1, 2)}}
    for theirs in (*one.values(), *three.values()):
        assert_same_training(ours, theirs, 1e-5)


@pytest.mark.parametrize("kind", ["zero 1", "zero 3", "mp_opt"])
def test_exports_to_hugging_face(kind: str, folder: Path, straight: dict[str, Any], tmp_path: Path) -> None:
    assert export([str(folder / kind / "step-1"), "--to", str(tmp_path / "hf")]) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    exported = {MODEL + name: parameter.detach() for name, parameter in model.named_parameters()}
    saved = {name: tensor for name, tensor in read(folder / kind / "step-1").items() if name in exported}
    assert distance(exported, saved) == 0


def dtype(result: dict[str, Any]) -> torch.dtype:
    return next(iter(result["weights"].values())).dtype


def read(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, whole."""
    shards = next(path for path in checkpoint.iterdir() if (path / ".metadata").exists())
    saved = saved_tensors(read_metadata(shards))
    tensors = {name: torch.empty(info.size, dtype=info.properties.dtype) for name, info in saved.items()}
    read_shards(tensors, shards, alone=True)
    return tensors
