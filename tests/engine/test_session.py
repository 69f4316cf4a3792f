"""Training from Python, with one's own reward function and estimator."""

import json
import subprocess
import sys
from pathlib import Path

from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step

SCRIPT = """
import sys
import engine


class Mine(engine.SPMDPPOTrainer):
    def compute_advantages(self, rewards):
        print("shape", tuple(rewards.shape))
        return rewards - rewards.mean()


def reward(responses, labels):
    return [float(label) + len(response) % 2 for response, label in zip(responses, labels)]


config = engine.RunConfig.model_validate_json(sys.argv[1])
trainer = engine.fit(config, sys.argv[2], reward_fn=reward, trainer_class=Mine)
print("done", trainer.state.step)
"""


def test_own_reward_and_estimator(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"input": f"{i}", "label": "10"}) + "\n" for i in range(8)))
    config = {
        "model": {"pretrain": str(save_tiny_model(tmp_path / "model")), "bf16": False},
        "data": {"prompt_data": str(data)},
        "batch": {"rollout_batch_size": 2, "train_batch_size": 8, "micro_train_batch_size": 8},
        "rollout": {"engine_type": "hf", "max_len": 24, "prompt_max_len": 16},
        "optim": {"max_steps": 2},
    }
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(config), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "shape (2, 4)" in result.stdout
    assert "done 2" in result.stdout
    assert metrics_by_step(tmp_path / "run")[1]["reward/mean"] >= 10
