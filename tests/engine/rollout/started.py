"""Rollout engines as a run starts them, in this process."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config.sections import RunConfig
from engine.models.loading import ModelSource, load_source
from engine.rollout.base import RolloutEngine
from engine.rollout.start import start_engine
from engine.strategy import Strategy, get_strategy

SETTINGS: dict[str, Any] = {
    "engine_kv_cache_gb": 0.05,
    "engine_enforce_eager": True,
    "prompt_max_len": 64,
    "max_len": 128,
}
"""Small, and started without compilation."""


def skip_unless_runnable(engine_type: str) -> None:
    """Skip, saying why, where an engine's library or its device is not there."""
    if engine_type != "hf" and find_spec(engine_type) is None:
        pytest.skip(f"{engine_type} is not installed")
    if engine_type == "sglang" and not torch.cuda.is_available():
        pytest.skip("sglang needs a GPU")


def prepare(folder: Path, **rollout: object) -> tuple[RunConfig, ModelSource, Strategy]:
    """What `start_engine` takes, for the model in `folder` in float32."""
    model = {"pretrain": str(folder), "bf16": bool(rollout.pop("bf16", False))}
    trust = {"trust_remote_code": rollout.pop("trust_remote_code", False)}
    run = {"seed": rollout.pop("seed", 42)}
    config = RunConfig.model_validate(
        {
            "model": model | trust,
            "rollout": {**SETTINGS, **rollout},
            "run": run,
            "batch": {"micro_rollout_batch_size": 8},
        }
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    strategy = get_strategy(config)
    return config, load_source(config, strategy, print), strategy


def start(folder: Path, **rollout: object) -> RolloutEngine:
    """An engine on the model in `folder`."""
    return start_engine(*prepare(folder, **rollout))
