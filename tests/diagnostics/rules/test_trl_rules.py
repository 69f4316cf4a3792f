"""Every rule about TRL: silent on a sound job, firing on the change that breaks it."""

from pathlib import Path
from typing import Any

import pytest

from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.model import model_of
from diagnostics.rules.read_trl import read_trl_command, read_trl_yaml
from diagnostics.rules.read_trl_python import read_trl_python
from diagnostics.rules.rulesets import job_of, rule_findings
from engine.findings import Finding

SOUND: dict[str, Any] = {
    "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
    "dtype": "bfloat16",
    "dataset_name": "trl-lib/DeepMath-103K",
    "reward_funcs": "accuracy_reward",
    "beta": 0.001,
    "num_generations": 8,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "max_completion_length": 1024,
    "accelerate_config": "zero2",
}
VLLM = {"use_vllm": True, "vllm_mode": "colocate"}
LORA = {"use_peft": True, "learning_rate": 1e-5}


def of(changes: dict[str, Any], program: str = "trl grpo", **options: Any) -> Foreign:
    words = []
    for line, (name, value) in enumerate({**SOUND, **changes}.items(), 2):
        if value is None:
            continue
        words.append(Setting(f"--{name}", line))
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [Setting(str(each), line) for each in values]
    return read_trl_command("run.sh", words, program=program, **options)


def found(changes: dict[str, Any], program: str = "trl grpo") -> list[Finding]:
    foreign = of(changes, program)
    job = job_of(foreign)
    return rule_findings(foreign, job, model_of(job).shape)


def test_a_sound_job_has_no_findings() -> None:
    assert found({}) == []
    assert found(VLLM) == []
    assert found({**VLLM, "vllm_tensor_parallel_size": 4, "vllm_enable_sleep_mode": True}) == []
    assert found(LORA) == []
    assert found({"eval_strategy": "steps"}) == []
    assert found({"generation_batch_size": 64}) == []


FIRING: list[tuple[str, str, dict[str, Any]]] = [
    ("cfg.batch.trl-both", "error", {"generation_batch_size": 64, "steps_per_generation": 2}),
    ("cfg.batch.trl-global", "error", {"generation_batch_size": 72}),
    ("cfg.batch.trl-groups", "error", {"num_generations": 6}),
    ("cfg.batch.trl-groups", "error", {"num_generations": 24, "generation_batch_size": 64}),
    ("cfg.batch.trl-generations", "error", {"num_generations": 1}),
    (
        "cfg.batch.trl-eval",
        "error",
        {"eval_strategy": "steps", "per_device_eval_batch_size": 3, "num_generations": 16},
    ),
    ("cfg.batch.trl-auto", "error", {"auto_find_batch_size": True}),
    ("cfg.batch.trl-steps", "warning", {"steps_per_generation": 6}),
    ("check.trl.reward-weights", "error", {"reward_weights": [0.5, 0.5]}),
    ("check.trl.epsilon", "warning", {"epsilon_high": 0.1}),
    ("check.trl.sync-without-reference", "error", {"sync_ref_model": True, "beta": 0}),
    ("check.trl.sync-peft", "error", {**LORA, "sync_ref_model": True}),
    ("check.trl.no-reference", "info", {"beta": None}),
    ("check.trl.loss", "error", {"loss_type": "grop"}),
    ("check.trl.sequence-level", "warning", {"importance_sampling_level": "sequence"}),
    ("check.trl.luspo", "warning", {"loss_type": "luspo"}),
    ("check.trl.vespo", "error", {**VLLM, "loss_type": "vespo"}),
    ("check.trl.vespo", "warning", {"loss_type": "vespo", "importance_sampling_level": "sequence"}),
    ("check.trl.clip-order", "error", {**VLLM, "vllm_importance_sampling_clip_min": 5}),
    (
        "check.trl.truncate-limits",
        "error",
        {
            **VLLM,
            "vllm_importance_sampling_mode": "token_truncate",
            "vllm_importance_sampling_clip_max": "null",
        },
    ),
    ("check.no-effect", "warning", {"vllm_gpu_memory_utilization": 0.5}),
    ("check.no-effect", "warning", {**VLLM, "vllm_server_port": 8001}),
    ("check.no-effect", "warning", {**VLLM, "vllm_mode": "server", "vllm_tensor_parallel_size": 2}),
    ("check.no-effect", "warning", {"ref_model_sync_steps": 64}),
    ("check.no-effect", "warning", {"entropy_target": 0.5}),
    ("check.no-effect", "warning", {"lora_r": 64}),
    ("check.trl.vllm-mode", "error", {**VLLM, "vllm_mode": "collocate"}),
    ("check.trl.server-cards", "info", {**VLLM, "vllm_mode": "server"}),
    ("check.trl.vllm-8bit", "error", {**VLLM, **LORA, "load_in_8bit": True}),
    ("cfg.len", "error", {**VLLM, "vllm_max_model_length": 1024}),
    ("cfg.tp", "error", {**VLLM, "vllm_tensor_parallel_size": 3}),
    ("cfg.mem.engine-share", "warning", {**VLLM, "vllm_gpu_memory_utilization": 0.7}),
    ("check.trl.float32-model", "warning", {"dtype": None}),
    ("check.trl.bf16-fp16", "error", {"bf16": True, "fp16": True}),
    ("check.trl.bits", "error", {**LORA, "load_in_4bit": True, "load_in_8bit": True}),
    ("check.trl.quantized", "error", {"load_in_4bit": True}),
    ("check.trl.lora-head", "error", {**LORA, "lora_target_modules": ["q_proj", "lm_head"]}),
    ("check.trl.lora-commas", "error", {**LORA, "lora_target_modules": ["q_proj,", "v_proj"]}),
    (
        "check.trl.reentrant",
        "info",
        {**LORA, "accelerate_config": "zero3", "gradient_checkpointing_kwargs": '{"use_reentrant": false}'},
    ),
    ("cfg.zero", "warning", {**LORA, "accelerate_config": "zero3", "load_in_4bit": True}),
    ("cfg.zero-lora", "warning", {**LORA, **VLLM, "accelerate_config": "zero3"}),
    ("cfg.zero-dtypes", "info", {**LORA, "accelerate_config": "zero3"}),
    ("check.trl.lora-engine-tp", "info", {**LORA, **VLLM, "vllm_tensor_parallel_size": 2}),
    ("cfg.fsdp", "warning", {**LORA, "accelerate_config": "fsdp1"}),
    ("check.trl.hub-completions", "error", {"log_completions_hub_repo": "me/x"}),
    ("check.trl.liger", "info", {"use_liger_kernel": True}),
    ("check.trl.deprecated", "info", {"use_transformers_paged": True}),
    ("check.trl.no-reward", "error", {"reward_funcs": None}),
    ("check.trl.gone", "warning", {"max_prompt_length": 512}),
    ("check.trl.unknown-name", "error", {"number_of_generations": 8}),
    ("check.trl.processes-unknown", "info", {"accelerate_config": None}),
]


@pytest.mark.parametrize(("id", "severity", "changes"), FIRING, ids=lambda value: str(value)[:60])
def test_a_broken_job_is_told(id: str, severity: str, changes: dict[str, Any]) -> None:
    findings = found(changes)
    told = [finding for finding in findings if finding.id == id and finding.severity == severity]
    assert told, [f"{finding.severity} {finding.id}" for finding in findings]
    assert told[0].cause.endswith(".") and "None" not in told[0].cause


def test_the_rollout_is_counted_in_completions() -> None:
    job = job_of(of({}))
    assert (job.ranks, job.prompts, job.samples, job.update) == (8, 16, 8, 128)
    job = job_of(of({"steps_per_generation": 8}))
    assert (job.prompts, job.update) == (32, 128)
    job = job_of(of({"generation_batch_size": 64}))
    assert (job.prompts, job.update) == (8, 128)


def test_groups_that_do_not_fit_come_with_values_that_do() -> None:
    (finding,) = [f for f in found({"num_generations": 6}) if f.id == "cfg.batch.trl-groups"]
    assert "4 × 8 × 4 = 128 completions" in finding.cause
    assert [fix.command for fix in finding.fixes] == [
        "--num_generations 4",
        "--num_generations 8",
        "--gradient_accumulation_steps 6",
        "--per_device_train_batch_size 6",
    ]


def test_a_script_started_by_python_alone_is_warned_of() -> None:
    words = [Setting("--num_generations", 2), Setting("8", 2)]
    foreign = read_trl_command("run.sh", words, program="train.py")
    ids = [f.id for f in rule_findings(foreign, job_of(foreign), None)]
    assert "check.trl.no-launcher" in ids
    launched = read_trl_command("run.sh", words, program="train.py", ranks=4, nodes=1)
    assert "check.trl.no-launcher" not in [f.id for f in rule_findings(launched, job_of(launched), None)]


def test_an_unknown_name_of_ones_own_script_passes() -> None:
    names = ["difficulty_column", "num_generation"]
    foreign = of(dict.fromkeys(names, 1), program="train.py")
    unknown = [f for f in rule_findings(foreign, job_of(foreign), None) if f.id == "check.trl.unknown-name"]
    assert [(f.param, f.severity) for f in unknown] == [("num_generation", "warning")]


def test_accelerates_file_gives_processes_and_sharding(tmp_path: Path) -> None:
    (tmp_path / "zero3.yaml").write_text(
        "distributed_type: DEEPSPEED\nnum_processes: 16\nnum_machines: 2\n"
        "deepspeed_config:\n  zero_stage: 3\n  offload_optimizer_device: cpu\n"
    )
    script = tmp_path / "run.sh"
    foreign = read_trl_command(
        str(script),
        [Setting("--num_generations", 1), Setting("8", 1)],
        program="train.py",
        options={"config_file": Setting("zero3.yaml", 1)},
    )
    job = job_of(foreign)
    assert (job.ranks, job.nodes, job.strategy, job.stage) == (16, 2, "deepspeed", 3)
    assert job.offload == {"optimizer"}
    missing = read_trl_command(str(script), [], options={"config_file": Setting("other.yaml", 1)})
    assert [f.id for f in missing.problems] == ["check.trl.file-missing"]


def test_a_yaml_is_read_with_its_environment_and_overridden_by_flags(tmp_path: Path) -> None:
    (tmp_path / "grpo.yaml").write_text(
        "env:\n  HF_HUB_OFFLINE: 1\nnum_generations: 4\nlearning_rate: 1e-6\nmodel_init_kwargs:\n  dtype: "
        "bfloat16\n"
    )
    words = [Setting(word, 3) for word in ("--config", "grpo.yaml", "--num_generations", "16", "--no_bf16")]
    foreign = read_trl_command(str(tmp_path / "run.sh"), words, program="trl grpo")
    assert foreign.get("num_generations") == 16
    assert foreign.get("learning_rate") == 1e-6
    assert foreign.get("bf16") is False
    assert foreign.settings["learning_rate"].line == 4
    assert foreign.environ["HF_HUB_OFFLINE"].value == 1
    assert job_of(foreign).bf16 is True


def test_a_script_is_read_without_being_run(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\nfrom trl import GRPOConfig, GRPOTrainer\nfrom peft import LoraConfig\n"
        "N = 4\nLR = float(sys.argv[1])\nopen('ran', 'w')\n"
        "args = GRPOConfig(num_generations=N, per_device_train_batch_size=2 * N, learning_rate=LR,\n"
        "    model_init_kwargs={'dtype': 'bfloat16'}, beta=0.0, unknown_thing=1)\n"
        "GRPOTrainer('m', args=args, model='Qwen/Qwen2.5-0.5B', reward_funcs=[len], "
        "peft_config=LoraConfig(r=8))\n"
    )
    foreign = read_trl_python(script)
    assert not (tmp_path / "ran").exists()
    assert foreign.get("num_generations") == 4
    assert foreign.get("per_device_train_batch_size") == 8
    assert foreign.get("learning_rate") == "${LR}"
    assert foreign.settings["num_generations"].line == 7
    job = job_of(foreign)
    assert (job.lora_rank, job.model, job.lr, job.bf16) == (8, "Qwen/Qwen2.5-0.5B", None, True)
    ids = [f.id for f in rule_findings(foreign, job, None)]
    assert "check.trl.unknown-name" in ids and "cfg.lr" not in ids


def test_a_script_that_parses_flags_says_so(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("from trl import GRPOConfig, TrlParser\nparser = TrlParser((GRPOConfig,))\n")
    (problem,) = read_trl_python(script).problems
    assert "takes its settings from a command line" in problem.cause
    script.write_text("def broken(:\n")
    (problem,) = read_trl_python(script).problems
    assert problem.id == "check.python-unreadable" and "line 1" in problem.cause


def test_how_a_yaml_is_sharded_is_not_guessed(tmp_path: Path) -> None:
    config = tmp_path / "grpo.yaml"
    config.write_text("num_processes: 7\nnum_generations: 7\nper_device_train_batch_size: 7\n")
    job = job_of(read_trl_yaml(config))
    assert (job.ranks, job.strategy) == (7, None)
    assert job_of(of({"accelerate_config": "multi_gpu"})).strategy == "ddp"
    assert job_of(of({"accelerate_config": None, "num_processes": 8})).strategy == "ddp"
