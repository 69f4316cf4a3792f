"""Hydra's overrides and nested YAML as settings."""

from pathlib import Path
from typing import Any

import pytest

from diagnostics.rules.foreign import Setting
from diagnostics.rules.hydra import parse_override_value, parse_words
from diagnostics.rules.job_verl import job_of_verl
from diagnostics.rules.nested_yaml import parse_nested, resolve
from diagnostics.rules.read_verl import read_verl_command, read_verl_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("1e-6", 1e-6),
        ("1_000", 1000),
        ("-1", -1),
        (".5", 0.5),
        ("True", True),
        ("false", False),
        ("null", None),
        ("'8'", "8"),
        ('"a b"', "a b"),
        ("", ""),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("['console','wandb']", ["console", "wandb"]),
        ("[a, 1, null]", ["a", 1, None]),
        ("{a:1,b:{c:x}}", {"a": 1, "b": {"c": "x"}}),
        ("{u:https://x/y}", {"u": "https://x/y"}),
        ("[broken", "[broken"),
        ("$N", "$N"),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert parse_override_value(text) == value


def words(*texts: str) -> list[Setting]:
    return [Setting(text, line) for line, text in enumerate(texts, 1)]


def test_signs_flags_and_stray_words() -> None:
    parsed = parse_words(
        words("+a.b=1", "++c=2", "~d.e", "--config-path", "conf", "--config-name=my", "$@", "oops")
    )
    assert [(o.key, o.value, o.sign, o.line) for o in parsed.overrides] == [
        ("a.b", 1, "+", 1),
        ("c", 2, "++", 2),
        ("d.e", None, "~", 3),
    ]
    assert (parsed.config_path, parsed.config_name) == ("conf", "my")
    (problem,) = parsed.problems
    assert problem.severity == "error" and "line 8" in problem.cause and "'oops'" in problem.cause


def test_later_overrides_win_and_are_told() -> None:
    foreign = read_verl_command("run.sh", words("data.train_batch_size=8", "data.train_batch_size=16"))
    assert foreign.settings["data.train_batch_size"] == Setting(16, 2)
    (problem,) = foreign.problems
    assert problem.id == "check.given-twice" and "8 in line 1 and 16 in line 2" in problem.cause


def test_deleting_takes_what_lies_below() -> None:
    foreign = read_verl_command("run.sh", words("a.b.c=1", "a.b.d=2", "a.x=3", "~a.b"))
    assert set(foreign.settings) == {"a.x"}


def test_a_named_configuration_is_read_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my.yaml").write_text(
        "defaults:\n  - ppo_trainer\n  - model: small\n  - _self_\ndata:\n  train_batch_size: 32\n"
        "actor_rollout_ref:\n  rollout:\n    n: 4\n"
    )
    (tmp_path / "conf" / "model").mkdir()
    (tmp_path / "conf" / "model" / "small.yaml").write_text("path: Qwen/Qwen2.5-0.5B\n")
    script = str(tmp_path / "run.sh")
    given = words("--config-path=conf", "--config-name=my", "actor_rollout_ref.rollout.n=8")
    foreign = read_verl_command(script, given)
    assert foreign.get("data.train_batch_size") == 32
    assert foreign.get("actor_rollout_ref.rollout.n") == 8
    assert foreign.get("model.path") == "Qwen/Qwen2.5-0.5B"
    assert foreign.problems == ()
    missing = read_verl_command(script, words("--config-name=other"))
    assert [problem.id for problem in missing.problems] == ["check.verl.base-missing"]
    assert read_verl_command(script, words("--config-name=ppo_megatron_trainer.yaml")).problems == ()


def test_a_yaml_of_verls_with_what_it_builds_on() -> None:
    foreign = read_verl_yaml(Path(__file__).parent / "configs" / "verl_job.yaml")
    assert foreign.get("actor_rollout_ref.model.path") == "/models/Qwen2.5-3B-Instruct"
    assert foreign.settings["data.train_batch_size"] == Setting(60, 9)
    assert foreign.get("actor_rollout_ref.rollout.max_model_len") == 2048
    assert (foreign.ranks, foreign.nodes) == (8, 1)


def test_settings_that_follow_the_actors() -> None:
    foreign = read_verl_command("run.sh", words("actor_rollout_ref.actor.use_dynamic_bsz=True"))
    assert foreign.get("actor_rollout_ref.rollout.log_prob_use_dynamic_bsz") is True
    assert job_of_verl(foreign).token_budget == 16384


def test_nested_yaml_keeps_lines_and_resolves() -> None:
    text = "a:\n  lr: 1e-6\n  n: 8\n  on: yes\nb: ${a.n}\nc: ${oc.select:x.y,3}\n"
    text += "d: ${.e}\ne: ${nope}\nl:\n- k: 1\n"
    settings, problems = parse_nested(text, "x.yaml")
    resolved = resolve(settings, {"x.z": 1})
    assert problems == []
    assert {name: setting.value for name, setting in resolved.items()} == {
        "a.lr": 1e-6,
        "a.n": 8,
        "a.on": True,
        "b": 8,
        "c": 3,
        "d": "${nope}",
        "e": "${nope}",
        "l": [{"k": 1}],
    }
    assert resolved["a.n"].line == 3


def test_interpolations_that_go_round_end() -> None:
    settings, _ = parse_nested("a: ${b}\nb: ${a}x\n", "x.yaml")
    assert "${" in str(resolve(settings)["a"].value)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("a: [1\n", "check.yaml-syntax"),
        ("- a\n", "check.not-a-mapping"),
        ("a: 1\na: 2\n", "check.given-twice"),
    ],
)
def test_yaml_that_is_wrong_is_told(text: str, id: str) -> None:
    assert [problem.id for problem in parse_nested(text, "x.yaml")[1]] == [id]
