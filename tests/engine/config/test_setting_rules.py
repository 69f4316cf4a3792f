"""Rules beyond batch sizes: each fires on its mistake, stays quiet otherwise, and its fixes repair."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import Layer, examine, layer_from_flags, resolve
from engine.config.rules import check, generate_max_len, read_model_config
from engine.config.sections import RunConfig
from engine.findings import Finding

FINE = {
    "model.pretrain": "m",
    "data.prompt_data": "d",
    "reward.reward_rule": "math",
    "batch.train_batch_size": 256,
    "rollout.max_len": 512,
    "rollout.prompt_max_len": 256,
}


def config_with(values: dict[str, Any]) -> RunConfig:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in (FINE | values).items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return RunConfig.model_validate(sections)


def found(values: dict[str, Any], **facts: Any) -> list[Finding]:
    return check(config_with(values), world_size=1, **facts)


def test_a_complete_configuration_has_no_findings():
    assert found({}) == []


MISTAKES = [
    ("config.missing-value", "error", {"model.pretrain": " "}),
    ("config.missing-value", "error", {"data.prompt_data": ""}),
    ("reward.missing", "error", {"reward.reward_rule": None}),
    ("rollout.no-room-for-response", "error", {"rollout.prompt_max_len": 512}),
    (
        "rollout.no-room-for-response",
        "error",
        {"rollout.prompt_max_len": 600, "rollout.generate_max_len": 64},
    ),
    ("rollout.lengths", "error", {"rollout.generate_max_len": 257}),
    ("rollout.min-above-max", "error", {"rollout.generate_min_len": 257}),
    ("reward.overlong-buffer", "error", {"reward.overlong_buffer_len": 257}),
    ("batch.token-budget-below-max-len", "warning", {"batch.max_tokens_per_micro_batch": 511}),
    ("algorithm.group-needs-samples", "error", {"batch.n_samples_per_prompt": 1}),
    (
        "algorithm.group-needs-samples",
        "error",
        {"batch.n_samples_per_prompt": 1, "algorithm.advantage_estimator": "rloo"},
    ),
    ("algorithm.k1-loss", "error", {"algorithm.kl_estimator": "k1"}),
    (
        "optim.actor-lr-above-critic",
        "warning",
        {"algorithm.advantage_estimator": "gae", "optim.actor_learning_rate": 1e-4},
    ),
    ("eval.no-data", "error", {"eval.eval_interval": 5}),
    ("data.source-shares", "error", {"data.prompt_data": "a,b", "data.prompt_data_probs": (0.5, 0.4)}),
    ("data.source-shares", "error", {"data.prompt_data": "a,b,c", "data.prompt_data_probs": (0.5, 0.5)}),
    ("config.no-effect", "warning", {"reward.reward_running_norm_minus_mean": True}),
    ("config.no-effect", "warning", {"reward.overlong_penalty": 2.0}),
    ("config.no-effect", "warning", {"algorithm.kl_target": 0.1, "algorithm.init_kl_coef": 0.0}),
    ("config.no-effect", "warning", {"algorithm.kl_horizon": 5}),
    (
        "config.no-effect",
        "warning",
        {"batch.micro_train_batch_size": 8, "batch.max_tokens_per_micro_batch": 512},
    ),
    ("config.no-effect", "warning", {"eval.eval_temperatures": (1.0,)}),
]


@pytest.mark.parametrize(("id", "severity", "values"), MISTAKES)
def test_a_mistake_is_found_and_its_fixes_repair_it(id: str, severity: str, values: dict[str, Any]):
    (finding,) = found(values)
    assert (finding.id, finding.severity) == (id, severity)
    assert finding.fixes
    for fix in finding.fixes:
        if fix.set:
            assert found(values | fix.set) == []
        for flag in fix.command.split()[:1]:
            assert layer_from_flags([flag, "x"]).findings == ()


@pytest.mark.parametrize(
    "values",
    [
        {"reward.reward_rule": None, "reward.reward_fn": "f.py:score"},
        {"rollout.generate_max_len": 256, "rollout.generate_min_len": 256},
        {"reward.overlong_buffer_len": 256, "reward.overlong_penalty": 2.0},
        {"batch.max_tokens_per_micro_batch": 512},
        {"algorithm.kl_estimator": "k1", "algorithm.init_kl_coef": 0.0},
        {"algorithm.kl_estimator": "k1", "algorithm.advantage_estimator": "reinforce"},
        {"algorithm.advantage_estimator": "reinforce", "batch.n_samples_per_prompt": 1},
        {"optim.actor_learning_rate": 1e-4},  # no critic in use: nothing to compare with
        {"eval.eval_interval": 5, "eval.eval_data": "t", "eval.eval_temperatures": (0.0, 1.0)},
        {"data.prompt_data": "a, b", "data.prompt_data_probs": (0.3, 0.7)},
        {"reward.reward_running_norm_minus_mean": True, "reward.reward_running_norm": True},
        {"algorithm.kl_target": 0.1, "algorithm.kl_horizon": 5},
    ],
)
def test_no_finding_where_there_is_no_mistake(values: dict[str, Any]):
    assert found(values) == []


def test_several_mistakes_are_found_together_errors_first():
    severities = [
        f.severity for f in found({"eval.eval_interval": 5, "algorithm.kl_horizon": 5, "model.pretrain": ""})
    ]
    assert severities == ["error", "error", "warning"]


def test_the_smallest_group_keeps_the_batch_relations():
    values = {"batch.n_samples_per_prompt": 1, "batch.rollout_batch_size": 4, "batch.train_batch_size": 12}
    (finding,) = found(values)
    assert finding.fixes[0].set == {"batch.n_samples_per_prompt": 3}


def test_beyond_the_models_context(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 256}))
    (finding,) = found({}, model_config=read_model_config(str(tmp_path)))
    assert finding.id == "rollout.beyond-context" and finding.fixes[0].set["rollout.max_len"] == 256
    assert found(finding.fixes[0].set, model_config=read_model_config(str(tmp_path))) == []
    assert found({}, model_config={"text_config": {"max_position_embeddings": 512}}) == []


@pytest.mark.parametrize(
    ("rope", "fits"),
    [
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, True),
        ({"rope_scaling": {"type": "dynamic", "factor": 4}}, True),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, False),
        ({"rope_parameters": {"rope_type": "default"}}, False),
    ],
)
def test_stretched_positions_count_as_vllm_counts_them(rope: dict[str, Any], fits: bool):
    model = {"max_position_embeddings": 256, **rope}
    assert bool(found({}, model_config=model)) != fits


def test_model_configs_that_cannot_be_read_are_none(tmp_path: Path):
    for text in ("{", "[1]", ""):
        (tmp_path / "config.json").write_text(text)
        assert read_model_config(str(tmp_path)) is None
    assert read_model_config("hub/id") is None


def test_rules_that_rest_on_a_broken_value_are_left_out():
    flags = ["--trian_batch_size", "8", "--pretrian", "x", "--max_epochs", "3"]
    layers = [Layer("t", FINE), layer_from_flags(flags)]
    examined = examine(layers)
    ids = {f.id for f in check(examined.resolved.config, world_size=5, broken=examined.broken)}
    assert ids == {"batch.rbs-indivisible"}  # nothing is said about TBS, which was meant to be another
    config = resolve([Layer("t", FINE | {"optim.max_epochs": 3})]).config
    assert {f.id for f in check(config, world_size=5)} > ids


def test_generate_max_len():
    assert generate_max_len(config_with({})) == 256
    assert generate_max_len(config_with({"rollout.generate_max_len": 100})) == 100
