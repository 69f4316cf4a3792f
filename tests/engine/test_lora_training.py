"""Runs with adapters: one process from rollout to final model, and ranks of every strategy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.checkpoint.export import export
from tests.engine.policy_runs import assert_same_training, case, distance, policy_runs
from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step

SCRIPT = """
import sys
import engine
from engine.models.actor import Actor
from engine.models.logprob_pass import compute_logprobs
from transformers import AutoModelForCausalLM


class Checked(engine.SPMDPPOTrainer):
    def _logprobs(self, experiences):
        super()._logprobs(experiences)
        assert self.models.reference is None
        assert self.models.actor.training
        model = AutoModelForCausalLM.from_pretrained(self.config.model.pretrain)
        plain = Actor(model, temperature=self.config.rollout.temperature, chunk_size=100)
        rows = compute_logprobs(plain, experiences, self.strategy, pad_token_id=0, micro_batch_size=3)
        for e, row in zip(experiences, rows, strict=True):
            print("reference", (e.ref_logprobs - row).abs().max().item())


config = engine.RunConfig.model_validate_json(sys.argv[1])
reward = lambda responses, labels: [float(sum(ord(c) % 2 for c in r)) for r in responses]
engine.fit(config, sys.argv[2], reward_fn=reward, trainer_class=Checked)
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("lora")
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"input": f"{i}", "label": "10"}) + "\n" for i in range(8)))
    return {
        "model": {
            "pretrain": str(save_tiny_model(folder / "model")),
            "bf16": False,
            "lora_rank": 4,
            "lora_dropout": 0.1,
        },
        "data": {"prompt_data": str(data)},
        "batch": {"rollout_batch_size": 2, "train_batch_size": 4, "micro_train_batch_size": 4},
        "rollout": {"engine_type": "hf", "max_len": 24, "prompt_max_len": 16, "top_p": 1.0},
        "algorithm": {"init_kl_coef": 0.01},
        "optim": {"max_steps": 4, "actor_learning_rate": 1e-2, "lr_scheduler": "constant"},
        "checkpoint": {"save_steps": 2, "save_interval": 0},
    }


def run(config: dict[str, Any], run_dir: Path, **checkpoint: Any) -> str:
    settings = {**config, "checkpoint": {**config["checkpoint"], **checkpoint}}
    command = [sys.executable, "-c", SCRIPT, json.dumps(settings), str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_from_rollout_to_the_final_model(config: dict[str, Any], tmp_path: Path) -> None:
    """The reference is the actor without adapters, the engine follows it, and resuming changes nothing."""
    output = run(config, tmp_path / "run")
    differences = [float(line.split()[1]) for line in output.splitlines() if line.startswith("reference")]
    assert len(differences) == 16 and max(differences) < 1e-6
    metrics = metrics_by_step(tmp_path / "run")
    assert metrics[1]["kl/ref"] == pytest.approx(0, abs=1e-6)  # also with dropout: B is zero
    assert metrics[4]["kl/ref"] > 1e-4
    assert all(m.get("sync/logprob_diff_mean", 0) < 1e-5 for m in metrics.values())

    checkpoints = tmp_path / "run" / "checkpoints"
    resumed = tmp_path / "resumed"
    run(config, resumed, load_checkpoint=True, ckpt_path=str(checkpoints / "step-2"))
    assert {step: metrics_by_step(resumed)[step] for step in (3, 4)} == {s: metrics[s] for s in (3, 4)}

    export(checkpoints / "step-4", tmp_path / "exported")
    folders = (checkpoints / "final", tmp_path / "exported", resumed / "checkpoints" / "final")
    contents = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1] == contents[2]
    weights = AutoModelForCausalLM.from_pretrained(folders[0]).state_dict()
    base = AutoModelForCausalLM.from_pretrained(config["model"]["pretrain"]).state_dict()
    changed = {
        name.rpartition(".")[0].rpartition(".")[2] for name in base if not weights[name].equal(base[name])
    }
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_dropout_does_not_count_as_a_change_of_the_policy(config: dict[str, Any], tmp_path: Path) -> None:
    """One step per rollout: what was sampled without dropout is not compared with a pass that has it."""
    batch = {**config["batch"], "train_batch_size": 8}
    run({**config, "batch": batch}, tmp_path / "run")
    metrics = metrics_by_step(tmp_path / "run")
    assert all(metrics[step]["sync/logprob_diff_mean"] < 1e-5 for step in (1, 2, 3, 4))


def test_a_module_that_is_not_there_ends_the_run_with_a_finding(
    config: dict[str, Any], tmp_path: Path
) -> None:
    model = {**config["model"], "target_modules": "query_proj"}
    command = [sys.executable, "-c", SCRIPT, json.dumps({**config, "model": model}), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "error model.lora-target: target_modules names no linear layer of the decoder" in done.stderr


# --- ranks -----------------------------------------------------------------------------------------------

LORA = {"lora_rank": 4, "lora_alpha": 8}
STRATEGIES = {
    "fsdp2": {"memory": {"gradient_checkpointing": True}},
    "zero 2": {"parallel": {"zero_stage": 2}},
    "zero 3": {
        "parallel": {"zero_stage": 3},
        "memory": {"fused_linear_logprob": True, "chunk_size": 5},
    },
}


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return policy_runs(tmp_path_factory.mktemp("one"), nproc=1, alone=case(micro=12, model=LORA))["alone"]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("two")
    cases = {}
    for name, options in STRATEGIES.items():
        checkpoint = folder / name / "step-1"
        cases[name] = case(micro=3, model=LORA, save=str(checkpoint.parent), **options)
        cases[f"{name} resumed"] = case(micro=3, model=LORA, resume=str(checkpoint), **options)
        cases[f"{name} bf16"] = case(micro=3, model={**LORA, "bf16": True}, **options)
    return policy_runs(folder, nproc=2, **cases)


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.deepspeed
@pytest.mark.parametrize("name", STRATEGIES)
def test_two_ranks_train_the_adapters_of_one(
    name: str, one_rank: dict[str, Any], two_ranks: dict[str, Any]
) -> None:
    """And go on bit by bit from their own checkpoint, which holds nothing else."""
    together, resumed = two_ranks[name], two_ranks[f"{name} resumed"]
    assert_same_training(one_rank, together, 1e-5)
    assert distance(one_rank["weights"], together["weights"]) < 1e-6
    assert all(".lora_" in tensor for tensor in together["state"])
    for kind in ("state", "weights"):
        assert distance(together[kind], resumed[kind]) == 0.0


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.deepspeed
@pytest.mark.parametrize("name", STRATEGIES)
def test_in_bfloat16_adapters_stay_float32(
    name: str, one_rank: dict[str, Any], two_ranks: dict[str, Any]
) -> None:
    half = two_ranks[f"{name} bf16"]
    assert all(value.dtype == torch.float32 for value in half["state"].values())
    assert all(weight.dtype == torch.bfloat16 for weight in half["weights"].values())
    for tensor, weight in one_rank["weights"].items():
        torch.testing.assert_close(half["weights"][tensor].float(), weight, rtol=1e-2, atol=2e-3)
