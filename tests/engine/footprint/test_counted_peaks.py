"""The memory model of training against peaks that were counted: recorded ones, and one simulated anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.sections import RunConfig
from engine.footprint.devices import Device
from engine.footprint.job import Job, Place
from engine.footprint.model_config import shape_of
from engine.footprint.training import training_phases
from engine.simulate.run import simulate

RUNS = json.loads(Path(__file__).with_name("counted_peaks.json").read_text())["runs"]
MUCH = 10**15


def job_of(model: dict[str, Any], ranks: int, kernels: str, settings: dict[str, Any]) -> Job:
    device = Device(kernels, MUCH, None, None, kind="cpu" if kernels == "cpu" else "cuda")
    place = Place(device, ranks, min(ranks, 8), 1, MUCH, MUCH)
    config = {"max_position_embeddings": 32768, **model}
    return Job(RunConfig.model_validate(settings), shape_of(config, "counted"), place)


def name(run: dict[str, Any]) -> str:
    settings = [
        f"{key}={value}" for section in ("memory", "parallel", "model") for key, value in
        run["settings"].get(section, {}).items()
    ]  # fmt: skip
    return "-".join([run["counted"], run["name"], str(run["ranks"]), run["kernels"], *settings])


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_every_phase_is_within_five_percent_of_what_was_counted(run: dict[str, Any]) -> None:
    job = job_of(run["model"], run["ranks"], run["kernels"], run["settings"])
    for phase in training_phases(job):
        assert phase.bytes == pytest.approx(run["peaks"][phase.phase], rel=0.05), phase


@pytest.mark.slow
def test_the_simulation_agrees() -> None:
    model = {
        "model_type": "qwen3",
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "vocab_size": 1000,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
    }
    settings = {
        "rollout": {"max_len": 512, "prompt_max_len": 256},
        "batch": {"micro_train_batch_size": 4},
        "model": {"flash_attn": False},
    }
    job = job_of(model, 8, "cuda", settings)
    simulated = simulate(job.config, model, 8, like="cuda")
    _, update, step = training_phases(job)
    assert update.bytes == pytest.approx(simulated.phase("update").bytes, rel=0.05)
    assert step.bytes == pytest.approx(simulated.phase("step").bytes, rel=0.05)
