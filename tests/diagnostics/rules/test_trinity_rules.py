"""Every rule about Trinity-RFT: silent on a sound job, firing on the change that breaks it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from diagnostics.rules.foreign import Foreign
from diagnostics.rules.model import model_of
from diagnostics.rules.read_trinity import read_trinity_yaml
from diagnostics.rules.rulesets import job_of, rule_findings
from engine.findings import Finding

T, R = "buffer.explorer_input.taskset", "explorer.rollout_model"
SOUND: dict[str, Any] = {
    "mode": "both",
    "algorithm.algorithm_type": "grpo",
    "algorithm.repeat_times": 8,
    "algorithm.optimizer.lr": 1e-6,
    "model.model_path": "Qwen/Qwen2.5-7B-Instruct",
    "model.max_prompt_tokens": 1024,
    "model.max_response_tokens": 1024,
    "model.max_model_len": 2048,
    "cluster.node_num": 1,
    "cluster.gpu_per_node": 8,
    "buffer.batch_size": 96,
    f"{T}.path": "openai/gsm8k",
    "explorer.eval_interval": 50,
    f"{R}.engine_num": 2,
    f"{R}.tensor_parallel_size": 1,
    "synchronizer.sync_interval": 1,
    "trainer.max_token_len_per_gpu": 16384,
}
ONE_CARD = {
    "mode": "colocate",
    "cluster.gpu_per_node": 1,
    f"{R}.engine_num": 1,
    f"{R}.gpu_memory_utilization": 0.25,
}
ALWAYS = {"check.trinity.memory-validator"}


def of(folder: Path, changes: dict[str, Any]) -> Foreign:
    nested: dict[str, Any] = {}
    for name, value in {**SOUND, **changes}.items():
        *parents, last = name.split(".")
        below = nested
        for parent in parents:
            below = below.setdefault(parent, {})
        if value is not None:
            below[last] = value
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(nested))
    return read_trinity_yaml(path)


def found(folder: Path, changes: dict[str, Any]) -> list[Finding]:
    foreign = of(folder, changes)
    job = job_of(foreign)
    return [f for f in rule_findings(foreign, job, model_of(job).shape) if f.id not in ALWAYS]


def test_a_sound_job_has_no_findings(tmp_path: Path) -> None:
    assert found(tmp_path, {}) == []
    method = {"synchronizer.sync_method": "memory"}
    assert found(tmp_path, {**ONE_CARD, **method}) == []


FIRING: list[tuple[str, str, dict[str, Any]]] = [
    ("check.trinity.mode", "error", {"mode": "boht"}),
    ("check.trinity.offline-algorithm", "error", {"algorithm.algorithm_type": "dpo"}),
    ("check.trinity.no-length", "error", {"model.max_model_len": None, "model.max_prompt_tokens": None}),
    ("check.trinity.filled-lengths", "info", {"model.max_prompt_tokens": None}),
    ("check.trinity.min-response", "warning", {"model.min_response_tokens": 1024}),
    ("check.trinity.prompt-truncation", "warning", {"model.enable_prompt_truncation": False}),
    ("cfg.len", "error", {"model.max_response_tokens": 4096}),
    ("check.trinity.cluster", "info", {"cluster.gpu_per_node": None}),
    ("check.trinity.gpus", "error", {f"{R}.engine_num": 8}),
    ("check.trinity.gpus", "error", {"mode": "explore", f"{R}.engine_num": 9}),
    ("check.trinity.one-gpu", "warning", {"cluster.gpu_per_node": 1, f"{R}.engine_num": 1}),
    ("check.trinity.trainer-nodes", "error", {"cluster.node_num": 2, f"{R}.engine_num": 5}),
    (
        "check.trinity.engine-nodes",
        "error",
        {"cluster.node_num": 4, f"{R}.tensor_parallel_size": 12, f"{R}.engine_num": 1},
    ),
    ("check.trinity.colocate", "error", {**ONE_CARD, f"{R}.engine_num": 2}),
    ("check.trinity.colocate-share", "warning", {**ONE_CARD, f"{R}.gpu_memory_utilization": 0.6}),
    ("cfg.batch.trinity-missing", "error", {"mode": "train"}),
    ("cfg.batch.trinity-indivisible", "error", {"buffer.batch_size": 95}),
    ("cfg.batch.trinity-indivisible", "error", {"buffer.train_batch_size": 100}),
    ("cfg.batch.trinity-waits", "info", {"buffer.train_batch_size": 1536}),
    ("cfg.batch.trinity-token-budget", "error", {"trainer.max_token_len_per_gpu": 2000}),
    ("check.trinity.deprecated", "warning", {"explorer.runner_num": 32}),
    ("check.trinity.runners", "info", {"explorer.runner_per_model": 64}),
    ("check.trinity.sync-interval", "error", {"synchronizer.sync_interval": 0}),
    ("check.trinity.sync-method", "warning", {"model.lora_configs": [{"name": "lora", "lora_rank": 16}]}),
    ("check.trinity.sync-method", "warning", ONE_CARD),
    ("check.trinity.eval-interval", "warning", {"synchronizer.sync_interval": 7}),
    ("check.trinity.over-rollout", "error", {"explorer.over_rollout.ratio": 0.2}),
    ("check.trinity.tasksets", "error", {"buffer.explorer_input.tasksets": [{"path": "x"}]}),
    ("check.trinity.no-path", "error", {f"{T}.path": None, f"{T}.split": "train"}),
    ("check.no-effect", "warning", {f"{T}.repeat_times": 4}),
    ("check.trinity.storage", "warning", {"buffer.trainer_input.experience_buffer.storage_type": "file"}),
    ("check.trinity.trainer-type", "error", {"trainer.trainer_type": "megatron"}),
    ("check.trinity.save-hf", "error", {"trainer.save_hf_checkpoint": "sometimes"}),
    ("check.trinity.config-path", "error", {"trainer.trainer_config_path": "train.yaml"}),
    ("check.trinity.lora", "error", {"model.lora_configs": [{"lora_rank": 8}, {"lora_rank": 8}]}),
    ("check.trinity.stages", "info", {"stages": [{"stage_name": "sft", "mode": "train"}]}),
    ("cfg.group", "error", {"algorithm.repeat_times": 1}),
    ("cfg.tp-heads", "error", {f"{R}.tensor_parallel_size": 3}),
    ("cfg.kl-k1-loss", "warning", {"algorithm.kl_loss_fn": "k1"}),
    ("cfg.lr", "warning", {"algorithm.optimizer.lr": 1e-3}),
    ("cfg.temperature", "warning", {f"{T}.rollout_args.temperature": 0}),
]


@pytest.mark.parametrize(("id", "severity", "changes"), FIRING, ids=lambda value: str(value)[:60])
def test_a_broken_job_is_told(tmp_path: Path, id: str, severity: str, changes: dict[str, Any]) -> None:
    findings = found(tmp_path, changes)
    told = [finding for finding in findings if finding.id == id and finding.severity == severity]
    assert told, [f"{finding.severity} {finding.id}" for finding in findings]
    assert told[0].cause.endswith(".") and "None" not in told[0].cause


def test_a_job_without_tasks_is_told(tmp_path: Path) -> None:
    ids = [f.id for f in found(tmp_path, {f"{T}.path": None})]
    assert "check.trinity.no-taskset" in ids


def test_the_memory_validator_is_no_protection(tmp_path: Path) -> None:
    foreign = of(tmp_path, {})
    findings = rule_findings(foreign, job_of(foreign), None)
    assert [f.id for f in findings] == ["check.trinity.memory-validator"]
    serving = of(tmp_path, {"mode": "explore"})
    ids = [f.id for f in rule_findings(serving, job_of(serving), None)]
    assert "check.trinity.memory-validator" not in ids


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({"max_model_len": 4096}, (4096, 2048, 2048)),
        ({"max_model_len": 4096, "max_response_tokens": 1024}, (4096, 3072, 1024)),
        ({"max_model_len": 4096, "max_prompt_tokens": 5000}, (4096, 4095, 1)),
        ({"max_prompt_tokens": 512, "max_response_tokens": 1024}, (1536, 512, 1024)),
    ],
)
def test_lengths_are_filled_in_as_trinity_does(
    tmp_path: Path, given: dict[str, int], filled: tuple[int, int, int]
) -> None:
    names = ("max_model_len", "max_prompt_tokens", "max_response_tokens")
    job = job_of(of(tmp_path, {f"model.{name}": given.get(name) for name in names}))
    assert (job.model_len, job.prompt_len, job.response_len) == filled


def test_the_trainer_has_the_cards_that_the_explorer_leaves(tmp_path: Path) -> None:
    job = job_of(of(tmp_path, {f"{R}.engine_num": 1, f"{R}.tensor_parallel_size": 4}))
    assert (job.ranks, job.engine_ranks, job.colocated) == (4, 4, False)
    assert (job.prompts, job.samples, job.update) == (96, 8, 768)


def test_the_trainers_own_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "verl.yaml").write_text(
        "actor_rollout_ref:\n  actor:\n    fsdp_config:\n      optimizer_offload: true\n"
    )
    job = job_of(of(tmp_path, {"trainer.trainer_config_path": "verl.yaml"}))
    assert job.offload == {"optimizer"}


def test_variables_have_their_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRINITY_MODEL_PATH", raising=False)
    changes = {
        "model.model_path": "${oc.env:TRINITY_MODEL_PATH,Qwen/Qwen3-4B}",
        "buffer.batch_size": "${cluster.gpu_per_node}",
    }
    job = job_of(of(tmp_path, changes))
    assert (job.model, job.prompts) == ("Qwen/Qwen3-4B", 8)
    monkeypatch.setenv("TRINITY_MODEL_PATH", "Qwen/Qwen3-8B")
    assert job_of(of(tmp_path, changes)).model == "Qwen/Qwen3-8B"
