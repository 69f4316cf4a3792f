"""Every rule about verl: silent on a sound job, firing on the change that breaks it."""

import json
from pathlib import Path
from typing import Any

import pytest

from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.model import model_of
from diagnostics.rules.read_verl import read_verl_command
from diagnostics.rules.rulesets import job_of, rule_findings
from engine.findings import Finding

A, R, M = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
SOUND = {
    "algorithm.adv_estimator": "grpo",
    "data.train_batch_size": 256,
    "data.max_prompt_length": 512,
    "data.max_response_length": 1024,
    "data.filter_overlong_prompts": True,
    f"{M}.path": "Qwen/Qwen2.5-7B-Instruct",
    f"{M}.use_remove_padding": True,
    f"{A}.optim.lr": 1e-6,
    f"{A}.ppo_mini_batch_size": 64,
    f"{A}.ppo_micro_batch_size_per_gpu": 8,
    f"{R}.name": "vllm",
    f"{R}.n": 8,
    f"{R}.tensor_model_parallel_size": 2,
    f"{R}.log_prob_micro_batch_size_per_gpu": 16,
    "trainer.n_gpus_per_node": 8,
    "trainer.nnodes": 1,
}
DYNAMIC = {f"{A}.use_dynamic_bsz": True, f"{A}.ppo_micro_batch_size_per_gpu": "null"}
LORA = {f"{M}.lora_rank": 32, f"{R}.load_format": "safetensors", f"{A}.optim.lr": 1e-5}


def of(changes: dict[str, Any], program: str = "verl.trainer.main_ppo") -> Foreign:
    settings = {**SOUND, **changes}
    words = [Setting(f"{name}={value}", line) for line, (name, value) in enumerate(settings.items(), 2)]
    return read_verl_command("run.sh", words, program=program)


def found(changes: dict[str, Any], program: str = "verl.trainer.main_ppo") -> list[Finding]:
    foreign = of(changes, program)
    job = job_of(foreign)
    return rule_findings(foreign, job, model_of(job).shape)


def test_a_sound_job_has_no_findings() -> None:
    assert found({}) == []
    assert found(DYNAMIC) == []
    assert found(LORA) == []


FIRING: list[tuple[str, str, dict[str, Any]]] = [
    (
        "cfg.batch.verl-indivisible",
        "error",
        {"data.train_batch_size": 255, f"{R}.n": 3, f"{A}.ppo_mini_batch_size": 51},
    ),
    ("cfg.batch.verl-indivisible", "error", {**DYNAMIC, "data.train_batch_size": 33, f"{R}.n": 5}),
    ("cfg.batch.verl-mini", "error", {"data.train_batch_size": 32}),
    ("cfg.batch.verl-mini", "error", {**DYNAMIC, "data.train_batch_size": 32}),
    ("cfg.batch.verl-mini", "error", {f"{A}.ppo_mini_batch_size": 0}),
    ("cfg.batch.verl-uneven", "warning", {f"{A}.ppo_mini_batch_size": 96}),
    ("cfg.batch.verl-mini-zero", "error", {"trainer.nnodes": 128, "data.train_batch_size": 1024}),
    (
        "cfg.batch.verl-mini-per-gpu",
        "warning",
        {f"{R}.n": 5, f"{A}.ppo_mini_batch_size": 4, "data.train_batch_size": 8},
    ),
    ("cfg.batch.verl-no-accumulation", "error", {f"{A}.ppo_micro_batch_size_per_gpu": 128}),
    ("cfg.batch.verl-micro", "error", {f"{A}.ppo_micro_batch_size_per_gpu": 12}),
    ("cfg.batch.verl-both-micro", "error", {f"{A}.ppo_micro_batch_size": 64}),
    ("cfg.batch.verl-both-micro", "error", {f"{R}.log_prob_micro_batch_size": 128}),
    ("cfg.batch.verl-no-micro", "error", {f"{R}.log_prob_micro_batch_size_per_gpu": "null"}),
    ("cfg.batch.verl-no-micro", "error", {f"{A}.use_kl_loss": True}),
    (
        "cfg.batch.verl-micro-zero",
        "error",
        {f"{R}.log_prob_micro_batch_size_per_gpu": "null", f"{R}.log_prob_micro_batch_size": 4},
    ),
    (
        "cfg.batch.verl-deprecated-micro",
        "info",
        {f"{A}.ppo_micro_batch_size_per_gpu": "null", f"{A}.ppo_micro_batch_size": 64},
    ),
    ("cfg.batch.verl-token-budget", "error", {**DYNAMIC, f"{A}.ppo_max_token_len_per_gpu": 1535}),
    ("cfg.batch.verl-token-budget", "error", {**DYNAMIC, f"{R}.log_prob_max_token_len_per_gpu": 1000}),
    ("cfg.batch.verl-inherited-budget", "info", {**DYNAMIC, f"{A}.ppo_max_token_len_per_gpu": 65536}),
    ("check.no-effect", "info", {f"{A}.use_dynamic_bsz": True}),
    ("check.no-effect", "warning", {f"{A}.ppo_max_token_len_per_gpu": 16384}),
    ("check.no-effect", "info", {f"{A}.kl_loss_coef": 0.01}),
    ("check.no-effect", "info", {"algorithm.kl_ctrl.kl_coef": 0.01}),
    ("check.no-effect", "info", {"critic.optim.lr": 1e-5}),
    ("check.no-effect", "warning", {f"{A}.fsdp_config.offload_policy": True}),
    ("check.no-effect", "warning", {"algorithm.filter_groups.enable": True}),
    ("check.verl.kl-weight-zero", "warning", {f"{A}.use_kl_loss": True, f"{A}.kl_loss_coef": 0}),
    (
        "check.verl.sp-needs-remove-padding",
        "error",
        {f"{A}.ulysses_sequence_parallel_size": 4, f"{M}.use_remove_padding": False},
    ),
    (
        "check.verl.sp-fused",
        "warning",
        {f"{A}.ulysses_sequence_parallel_size": 4, f"{M}.use_fused_kernels": True},
    ),
    ("check.verl.fused-liger", "warning", {f"{M}.use_liger": True, f"{M}.use_fused_kernels": True}),
    ("check.verl.overlong-prompts", "warning", {"data.filter_overlong_prompts": False}),
    (
        "cfg.len-batched-tokens",
        "error",
        {f"{R}.max_num_batched_tokens": 1024, f"{R}.enable_chunked_prefill": False},
    ),
    (
        "check.verl.overlong-buffer",
        "warning",
        {"reward_model.overlong_buffer.enable": True, "reward_model.overlong_buffer.len": 2048},
    ),
    ("check.verl.sync-rollout", "warning", {f"{R}.mode": "sync"}),
    ("check.verl.rollout-pp", "error", {f"{R}.pipeline_model_parallel_size": 2}),
    ("check.verl.rollout-ep", "error", {f"{R}.expert_parallel_size": 8}),
    ("check.verl.rollout-dp", "warning", {f"{R}.data_parallel_size": 2}),
    ("check.verl.val-temperature", "error", {f"{R}.val_kwargs.do_sample": True, f"{R}.temperature": 0}),
    ("check.verl.val-temperature", "warning", {f"{R}.val_kwargs.do_sample": True}),
    ("check.verl.lora-rank", "warning", {**LORA, f"{M}.lora_rank": 48}),
    ("check.verl.lora-rank", "error", {**LORA, f"{M}.lora_rank": 1024}),
    ("check.verl.lora-dummy-load", "warning", {**LORA, f"{R}.load_format": "dummy_dtensor"}),
    ("check.verl.clip-ratio", "warning", {f"{A}.clip_ratio": 0.1}),
    ("check.verl.default-estimator", "warning", {"algorithm.adv_estimator": "gae"}),
    ("check.verl.loss-mode", "error", {f"{A}.loss_agg_mode": "mean"}),
    ("check.verl.rollout-correction", "error", {"algorithm.rollout_correction.rollout_is": "token"}),
    ("check.verl.removed", "warning", {f"{A}.fsdp_config.grad_offload": True}),
    ("check.verl.misspelt", "warning", {f"{A}.ppo_mini_batchsize": 64}),
    ("check.verl.append-existing", "warning", {"+trainer.val_before_train": True}),
    ("cfg.group", "error", {f"{R}.n": 1, f"{A}.ppo_micro_batch_size_per_gpu": 1}),
    ("cfg.tp", "error", {f"{R}.tensor_model_parallel_size": 3}),
    ("cfg.tp-heads", "error", {f"{R}.tensor_model_parallel_size": 8}),
    ("cfg.tp-across-nodes", "warning", {f"{R}.tensor_model_parallel_size": 16, "trainer.nnodes": 2}),
    ("cfg.sp", "error", {f"{A}.ulysses_sequence_parallel_size": 3}),
    ("cfg.sp-heads", "error", {f"{A}.ulysses_sequence_parallel_size": 8}),
    ("cfg.len", "error", {f"{R}.max_model_len": 1024}),
    ("cfg.lr", "warning", {f"{A}.optim.lr": 1e-4}),
    ("cfg.lr", "error", {f"{A}.optim.lr": -1e-6}),
    ("cfg.lr-lora", "info", {**LORA, f"{A}.optim.lr": 1e-6}),
    ("cfg.kl-twice", "warning", {f"{A}.use_kl_loss": True, "algorithm.use_kl_in_reward": True}),
    ("cfg.kl-negative", "error", {f"{A}.use_kl_loss": True, f"{A}.kl_loss_coef": -0.1}),
    ("cfg.kl-k1-loss", "warning", {f"{A}.use_kl_loss": True, f"{A}.kl_loss_type": "kl"}),
    ("cfg.temperature", "warning", {f"{R}.temperature": 0}),
    ("cfg.top-p", "error", {f"{R}.top_p": 1.5}),
    ("cfg.clip", "warning", {f"{A}.clip_ratio_low": 0}),
    ("cfg.mem.engine-share", "error", {f"{R}.gpu_memory_utilization": 1.2}),
    (
        "cfg.mem.engine-share",
        "warning",
        {f"{R}.gpu_memory_utilization": 0.8, f"{R}.free_cache_engine": False},
    ),
    ("cfg.off-policy", "warning", {f"{A}.ppo_mini_batch_size": 8}),
]


@pytest.mark.parametrize(("id", "severity", "changes"), FIRING, ids=lambda value: str(value)[:60])
def test_a_broken_job_is_told(id: str, severity: str, changes: dict[str, Any]) -> None:
    findings = found(changes)
    if id == "check.verl.default-estimator":
        findings = _without_estimator()
    told = [finding for finding in findings if finding.id == id and finding.severity == severity]
    assert told, [f"{finding.severity} {finding.id}" for finding in findings]
    assert told[0].cause.endswith(".") and "None" not in told[0].cause


def _without_estimator() -> list[Finding]:
    words = [Setting(f"{k}={v}", 1) for k, v in SOUND.items() if k != "algorithm.adv_estimator"]
    foreign = read_verl_command("run.sh", words)
    job = job_of(foreign)
    return rule_findings(foreign, job, model_of(job).shape)


def test_findings_name_the_line_and_the_nearest_values() -> None:
    (finding,) = [
        f for f in found({f"{A}.ppo_micro_batch_size_per_gpu": 12}) if f.id == "cfg.batch.verl-micro"
    ]
    assert "64 × 8 / 8 = 64 responses" in finding.cause
    assert f"run.sh line 11: {A}.ppo_micro_batch_size_per_gpu = 12" in finding.evidence
    assert [fix.command for fix in finding.fixes] == [
        f"{A}.ppo_micro_batch_size_per_gpu=8",
        f"{A}.ppo_micro_batch_size_per_gpu=16",
    ]


def test_a_dynamic_batch_that_verl_does_not_check_says_so() -> None:
    (finding,) = [
        f
        for f in found({**DYNAMIC, "data.train_batch_size": 33, f"{R}.n": 5})
        if f.id == "cfg.batch.verl-indivisible"
    ]
    assert "165 responses do not divide by 8 data-parallel groups" in finding.cause
    assert any("does not check this" in line for line in finding.evidence)
    assert [fix.command for fix in finding.fixes] == ["data.train_batch_size=32", "data.train_batch_size=40"]


def test_filtered_groups_work_with_the_dapo_recipe() -> None:
    changes = {"algorithm.filter_groups.enable": True}
    assert "check.no-effect" not in [f.id for f in found(changes, program="recipe.dapo.main_dapo")]


def test_values_that_are_not_known_are_not_judged() -> None:
    assert (
        found({f"{A}.ppo_micro_batch_size_per_gpu": "$MICRO", f"{R}.tensor_model_parallel_size": "${TP}"})
        == []
    )


def test_megatron_divides_by_its_own_groups() -> None:
    megatron = {
        f"{A}.strategy": "megatron",
        f"{A}.megatron.tensor_model_parallel_size": 2,
        f"{A}.megatron.pipeline_model_parallel_size": 2,
    }
    assert found(megatron) == []
    ids = [f.id for f in found({**megatron, f"{A}.megatron.tensor_model_parallel_size": 3})]
    assert ids.count("cfg.tp") == 1 and "cfg.tp-heads" in ids


def test_experts_divide_by_expert_parallelism() -> None:
    moe = {
        f"{M}.path": "Qwen/Qwen3-30B-A3B",
        f"{A}.strategy": "megatron",
        f"{A}.megatron.expert_model_parallel_size": 3,
    }
    assert "cfg.tp-experts" in [f.id for f in found(moe)]
    assert "cfg.tp-experts" not in [
        f.id for f in found({**moe, f"{A}.megatron.expert_model_parallel_size": 8})
    ]


def test_sequences_beyond_the_models_context_are_told(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2",
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "vocab_size": 151936,
        "max_position_embeddings": 2048,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = {f"{M}.path": str(tmp_path)}
    (finding,) = [f for f in found({**own, "data.max_response_length": 4096}) if f.id == "cfg.len-context"]
    assert "up to 4608 tokens" in finding.cause and "2048 positions" in finding.cause
    assert finding.fixes[0].command == "data.max_response_length=1536"
    assert "cfg.len-context" not in [f.id for f in found(own)]
