"""Whole runs with DeepSpeed as torchrun starts them: killed and resumed, on another strategy, refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.findings import EXIT_UNFIT
from tests.engine.tiny import save_tiny_model
from tests.engine.training import metrics_by_step, started, train, wait_for_step

pytestmark = [pytest.mark.dist, pytest.mark.deepspeed]


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("inputs")
    model = save_tiny_model(folder / "model")
    data, reward = folder / "prompts.jsonl", folder / "even.py"
    data.write_text(
        "".join(json.dumps({"input": "x" * (1 + i % 9), "label": str(i)}) + "\n" for i in range(40))
    )
    reward.write_text(
        "def score(responses, labels):\n"
        "    return [sum(ord(c) % 2 == 0 for c in r) / max(len(r), 1) for r in responses]\n"
    )
    settings = {
        "pretrain": model,
        "prompt_data": data,
        "reward_fn": f"{reward}:score",
        "rollout_batch_size": 4,
        "n_samples_per_prompt": 4,
        "train_batch_size": 16,
        "micro_train_batch_size": 2,
        "micro_rollout_batch_size": 8,
        "prompt_max_len": 16,
        "max_len": 28,
        "actor_learning_rate": 1e-3,
        "max_steps": 6,
        "save_steps": 2,
        "engine_type": "hf",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        ("--zero_stage", "2", "--bf16", "false"),
        ("--zero_stage", "3", "--bf16", "false", "--chunk_size", "20"),
        ("--zero_stage", "3", "--bf16", "true", "--adam_offload"),
    ],
    ids=["zero 2", "zero 3", "zero 3, bfloat16, offload"],
)
def test_kill_and_resume_is_bit_exact(strategy: tuple[str, ...], flags: list[str], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    flags = [*flags, *strategy]
    train(whole, *flags, nproc=2)
    with started(broken, *flags, nproc=2) as process:
        wait_for_step(broken, 3, process)
        os.kill(psutil.Process(process.pid).children()[1].pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert process.returncode != 0
    assert "resumed from" in train(broken, *flags, "--load_checkpoint", nproc=2)
    expected = metrics_by_step(whole)
    assert set(expected) == set(range(1, 7))
    assert metrics_by_step(broken) == expected
    assert all(metrics["sync/logprob_diff_mean"] < 0.02 for metrics in expected.values())
    final = [AutoModelForCausalLM.from_pretrained(d / "checkpoints" / "final") for d in (whole, broken)]
    assert all(torch.equal(a, b) for a, b in zip(*(m.parameters() for m in final), strict=True))


@pytest.mark.slow
def test_a_run_moves_on_to_fsdp2(flags: list[str], tmp_path: Path) -> None:
    train(tmp_path, *flags, "--bf16", "false", "--zero_stage", "1", "--max_steps", "2", nproc=2)
    output = train(tmp_path, *flags, "--bf16", "false", "--fsdp", "true", "--load_checkpoint")
    assert "resumed from" in output
    assert set(metrics_by_step(tmp_path)) == set(range(1, 7))


def test_a_version_that_is_not_supported_is_told(flags: list[str], tmp_path: Path) -> None:
    metadata = tmp_path / "old" / "deepspeed-0.10.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: deepspeed\nVersion: 0.10.0\n")
    command = [sys.executable, "-m", "engine.train", "--run_dir", str(tmp_path / "run")]
    result = subprocess.run(
        [*command, *flags, "--zero_stage", "2"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "old")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == EXIT_UNFIT, result.stderr
    assert "environment.unsupported-version: deepspeed 0.10.0" in result.stderr
    assert "pip install 'rftui[deepspeed]'" in result.stderr
    assert "Traceback" not in result.stderr
