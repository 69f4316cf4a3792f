"""Runs the cases of `programs/policy_steps.py` on real ranks and compares what came out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.ranks import run_ranks

PROGRAM = Path(__file__).parent / "programs" / "policy_steps.py"


def case(**options: Any) -> dict[str, Any]:
    """A case; configuration sections may stand among the fields of `Case`."""
    sections = ("model", "memory", "parallel")
    config = {name: options.pop(name) for name in sections if name in options}
    return {**options, "config": config}


def policy_runs(folder: Path, *, nproc: int, **cases: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results by case, and what the ranks printed as `printed`."""
    folder.mkdir(exist_ok=True)
    printed = run_ranks(PROGRAM, folder, json.dumps(cases), nproc=nproc)
    return {name: {**torch.load(folder / f"{name}.pt"), "printed": printed} for name in cases}


def assert_same_training(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    """All metrics of all steps agree, and all weights, moments and step counters."""
    assert theirs["metrics"].keys() == ours["metrics"].keys()
    for step, metrics in ours["metrics"].items():
        assert theirs["metrics"][step] == pytest.approx(metrics, rel=tolerance, abs=tolerance), step
    assert theirs["weights"].keys() == ours["weights"].keys()
    assert distance(ours["state"], theirs["state"]) < tolerance


def distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest difference of an element, in sets of tensors with the same names, shapes and dtypes."""
    assert {n: (t.shape, t.dtype) for n, t in theirs.items()} == {
        n: (t.shape, t.dtype) for n, t in ours.items()
    }
    return max(float((theirs[name] - tensor).abs().max()) for name, tensor in ours.items())
