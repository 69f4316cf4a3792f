"""Rules about strategies, engines and model shape: each fires on its mistake, and its fixes repair it."""

from typing import Any

import pytest

from engine.config.batch import batch_words, step_quantum
from engine.config.choices import choice_words, engine_name, strategy_name, zero_stage
from engine.config.rules import check
from engine.config.sections import RunConfig
from engine.findings import Finding
from tests.engine.config.test_setting_rules import config_with

MODEL = {"num_attention_heads": 28, "num_key_value_heads": 4}


def found(values: dict[str, Any], world_size: int = 8, model: dict[str, Any] | None = None) -> list[Finding]:
    return check(config_with(values), world_size=world_size, model_config=model)


MISTAKES: list[tuple[str, str, dict[str, Any]]] = [
    ("parallel.zero-with-fsdp", "error", {"parallel.fsdp": True, "parallel.zero_stage": 3}),
    (
        "parallel.option-of-other-strategy",
        "error",
        {"parallel.zero_stage": 2, "memory.fsdp_cpu_offload": True},
    ),
    ("parallel.option-of-other-strategy", "error", {"parallel.fsdp": False, "memory.use_mp_opt": True}),
    ("parallel.option-of-other-strategy", "error", {"parallel.zero_stage": 1, "parallel.fsdp_shard_size": 4}),
    ("memory.mp-opt-needs-bf16", "error", {"memory.use_mp_opt": True, "model.bf16": False}),
    ("model.compile-with-zero-3", "error", {"model.torch_compile": True, "parallel.zero_stage": 3}),
    ("parallel.shard-size-indivisible", "error", {"parallel.fsdp_shard_size": 3}),
    ("rollout.tp-needs-engine", "error", {"rollout.engine_type": "hf", "rollout.engine_tp_size": 2}),
    ("model.flash-needs-bf16", "error", {"model.flash_attn": True, "model.bf16": False}),
    (
        "engine.unsupported-setting",
        "error",
        {"rollout.engine_type": "sglang", "rollout.generate_min_len": 4},
    ),
    (
        "engine.unsupported-setting",
        "error",
        {"rollout.engine_type": "sglang", "rollout.engine_kv_cache_gb": 2.0},
    ),
    ("model.lora-target", "error", {"model.lora_rank": 8, "model.target_modules": " , "}),
    ("config.no-effect", "warning", {"model.lora_alpha": 32}),
    ("config.no-effect", "warning", {"memory.adam_offload": True, "memory.fsdp_cpu_offload": True}),
    ("config.no-effect", "warning", {"memory.ref_reward_offload": True, "algorithm.init_kl_coef": 0.0}),
    ("config.no-effect", "warning", {"rollout.engine_type": "hf", "rollout.engine_mem_util": 0.8}),
    ("config.no-effect", "warning", {"rollout.engine_type": "hf", "rollout.engine_quantization": "fp8"}),
]


@pytest.mark.parametrize(("id", "severity", "mistake"), MISTAKES)
def test_a_mistake_is_found_and_each_fix_repairs_it(id: str, severity: str, mistake: dict[str, Any]) -> None:
    (finding,) = found(mistake)
    assert (finding.id, finding.severity) == (id, severity)
    assert finding.fixes and all(fix.set for fix in finding.fixes)
    for fix in finding.fixes:
        assert id not in {f.id for f in found(mistake | fix.set)}, fix


@pytest.mark.parametrize(
    ("size", "fits"), [(1, True), (2, True), (4, True), (7, False), (14, False), (28, True)]
)
def test_tensor_parallel_against_the_heads_of_the_model(size: int, fits: bool) -> None:
    values = {
        "rollout.engine_type": "vllm",
        "rollout.engine_tp_size": size,
        "batch.train_batch_size": 56 * 256,
    }
    ids = {f.id for f in found(values, world_size=56, model=MODEL) if f.id.startswith("parallel.tp")}
    assert ids == (set() if fits else {"parallel.tp-kv-heads"})


def of_model(values: dict[str, Any], **model: Any) -> set[str]:
    return {f.id for f in found({"batch.micro_train_batch_size": 1} | values, model=MODEL | model)}


def test_sequences_are_split_only_where_attention_allows_it() -> None:
    split = {"parallel.sp_size": 2}
    refused = {"parallel.sp-unsupported-model"}
    assert of_model(split, model_type="qwen2", sliding_window=4096, use_sliding_window=False) == set()
    assert of_model(split, model_type="mistral", sliding_window=4096) == refused
    assert of_model(split, model_type="gemma2") == refused
    assert of_model({}, model_type="gemma2") == set()


def test_sequences_are_packed_only_where_they_are_known_to_stay_apart() -> None:
    packed = {"memory.packing_samples": True}
    assert of_model(packed, model_type="gemma2") == set()
    assert of_model(packed, model_type="mamba") == {"memory.packing-unsupported-model"}


def test_heads_of_a_nested_language_model_count() -> None:
    values = {"rollout.engine_type": "vllm", "rollout.engine_tp_size": 8}
    ids = {f.id for f in found(values, model={"text_config": MODEL})}
    assert "parallel.tp-heads" in ids


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "fsdp2"),
        ({"parallel.fsdp": True}, "fsdp2"),
        ({"parallel.fsdp": False}, "deepspeed"),
        ({"parallel.zero_stage": 1}, "deepspeed"),
    ],
)
def test_the_strategy_that_is_chosen(values: dict[str, Any], name: str) -> None:
    assert strategy_name(config_with(values)) == name


def test_choices_are_told() -> None:
    deepspeed = config_with({"parallel.fsdp": False, "rollout.engine_type": "hf"})
    assert zero_stage(deepspeed) == 2
    assert choice_words(deepspeed) == "strategy DeepSpeed ZeRO 2, rollout engine hf"
    unset = config_with({})
    assert f"rollout engine {engine_name(unset)} (engine_type unset: " in choice_words(unset)


def test_sequence_parallel_ranks_share_their_micro_batches() -> None:
    config: RunConfig = config_with({"parallel.sp_size": 4, "batch.micro_train_batch_size": 4})
    assert step_quantum(config, world_size=8) == 8
    assert step_quantum(config_with({"batch.micro_train_batch_size": 4}), world_size=8) == 32
    assert (
        "2 groups of 4 sequence-parallel ranks × 128 responses per step, in 32 micro-batches"
        in batch_words(config, world_size=8)
    )
    (finding,) = found(
        {"parallel.sp_size": 4, "batch.train_batch_size": 256, "batch.micro_train_batch_size": 3}
    )
    assert finding.id == "batch.tbs-indivisible"
    for fix in finding.fixes:
        assert found({"parallel.sp_size": 4, "batch.micro_train_batch_size": 3} | fix.set) == []
