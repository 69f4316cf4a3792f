"""The engine samples from the trainer's weights, or nothing is trained on what it sampled."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step

SCRIPT = """
import sys
import torch
import engine


class Forgetful(engine.SPMDPPOTrainer):
    def _start(self):
        super()._start()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.models.actor.parameters():
                parameter += float(sys.argv[3]) * torch.randn(parameter.shape, generator=generator)


config = engine.RunConfig.model_validate_json(sys.argv[1])
engine.fit(config, sys.argv[2], reward_fn=lambda rs, ls: [float(len(r)) for r in rs], trainer_class=Forgetful)
"""


def run(tmp_path: Path, noise: float) -> subprocess.CompletedProcess[str]:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"input": f"{i}", "label": "10"}) + "\n" for i in range(8)))
    config = {
        "model": {"pretrain": str(save_tiny_model(tmp_path / "model")), "bf16": False},
        "data": {"prompt_data": str(data)},
        "batch": {"rollout_batch_size": 2, "train_batch_size": 8, "micro_train_batch_size": 8},
        "rollout": {"engine_type": "hf", "max_len": 24, "prompt_max_len": 16, "top_p": 1.0},
        "optim": {"max_steps": 1},
    }
    command = [sys.executable, "-c", SCRIPT, json.dumps(config), str(tmp_path / "run"), str(noise)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_engine_with_other_weights_ends_the_run_before_it_trains(tmp_path: Path) -> None:
    done = run(tmp_path, noise=0.02)
    assert done.returncode != 0
    assert "error engine.weights-out-of-sync: Engine and trainer log-probabilities differ by" in done.stderr
    assert metrics_by_step(tmp_path / "run") == {}


def test_an_engine_in_sync_trains(tmp_path: Path) -> None:
    done = run(tmp_path, noise=0.0)
    assert done.returncode == 0, done.stderr
    assert metrics_by_step(tmp_path / "run")[1]["sync/logprob_diff_mean"] == pytest.approx(0, abs=1e-5)
