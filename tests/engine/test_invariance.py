"""The result of training does not depend on ranks, micro-batches or how responses are dealt to ranks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).parent / "programs" / "policy_steps.py"


def steps(
    path: Path,
    *,
    nproc: int,
    micro: int,
    budget: int = 0,
    how: str = "even",
    **extra: dict[str, Any],
) -> dict[str, Any]:
    run_ranks(PROGRAM, path, micro, budget, how, json.dumps(extra), nproc=nproc)
    return torch.load(path)


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return steps(tmp_path_factory.mktemp("one") / "out.pt", nproc=1, micro=12)


@pytest.mark.dist
@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("one rank, small micro-batches", {"nproc": 1, "micro": 2}),
        ("two ranks, small micro-batches", {"nproc": 2, "micro": 2}),
        ("two ranks, token budget", {"nproc": 2, "micro": 1, "budget": 40}),
        ("one response against eleven", {"nproc": 2, "micro": 2, "how": "uneven"}),
        (
            "recomputed activations, small chunks",
            {
                "nproc": 2,
                "micro": 3,
                "memory": {"gradient_checkpointing": True, "chunk_size": 5},
            },
        ),
        (
            "fused log-probs",
            {"nproc": 2, "micro": 3, "memory": {"fused_linear_logprob": True, "chunk_size": 5}},
        ),
        ("host memory offload", {"nproc": 2, "micro": 3, "memory": {"fsdp_cpu_offload": True}}),
    ],
)
def test_same_losses_norms_and_weights(
    case: str, options: dict[str, Any], one_rank: dict[str, Any], tmp_path: Path
) -> None:
    other = steps(tmp_path / "out.pt", **options)
    for ours, theirs in zip(one_rank["metrics"], other["metrics"], strict=True):
        assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-7), case
    difference = torch.cat(
        [(other["weights"][n] - w).flatten() for n, w in one_rank["weights"].items()]
    ).norm()
    size = torch.cat([w.flatten() for w in one_rank["weights"].values()]).norm()
    assert difference / size < 1e-6, case


@pytest.mark.dist
def test_first_step_starts_at_the_reference(one_rank: dict[str, Any]) -> None:
    first, second = one_rank["metrics"][:2]
    assert first["policy/ratio_mean"] == first["policy/ratio_max"] == 1.0
    assert first["kl/ref"] == pytest.approx(0.0, abs=1e-6)
    assert second["kl/ref"] > 1e-5


@pytest.mark.dist
def test_bf16_trains_on_two_ranks(one_rank: dict[str, Any], tmp_path: Path) -> None:
    other = steps(tmp_path / "out.pt", nproc=2, micro=4, model={"bf16": True})
    assert all(w.dtype == torch.float32 for w in other["weights"].values())
    for ours, theirs in zip(one_rank["metrics"], other["metrics"], strict=True):
        assert theirs["policy/loss"] == pytest.approx(ours["policy/loss"], abs=0.05)
    assert other["metrics"][0] != one_rank["metrics"][0]
