"""Layers become one configuration that knows its sources; everything wrong is said at once."""

import random
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import (
    Layer,
    Resolved,
    dump_resolved,
    examine,
    layer_from_flags,
    layer_from_sets,
    layer_from_yaml,
    load_resolved,
    resolve,
)
from engine.config.registry import Parameter, parameters
from engine.config.sections import RunConfig
from engine.config.values import check_value, example, parse_text
from engine.findings import EXIT_BAD_INPUT, Finding, FindingsError


def findings_of(*layers: Layer) -> dict[str, Finding]:
    """The findings by id and parameter; `resolve` must raise them."""
    with pytest.raises(FindingsError) as raised:
        resolve(layers)
    assert raised.value.exit_code == EXIT_BAD_INPUT
    return {f"{f.id} {f.param}".strip(): f for f in raised.value.findings}


def yaml_file(folder: Path, text: str) -> Layer:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return layer_from_yaml(path)


def test_nothing_given_is_the_defaults():
    assert resolve([]) == Resolved(RunConfig(), {})


def test_later_layers_win_and_sources_say_who():
    resolved = resolve(
        [
            Layer("preset tiny", {"batch.train_batch_size": 8, "optim.l2": 0.1}),
            layer_from_flags(["--train-batch-size", "16"]),
            layer_from_sets(["optim.max_norm=2", "l2=5e-3"]),
        ]
    )
    assert resolved.config.batch.train_batch_size == 16
    assert resolved.config.optim.l2 == 5e-3
    assert resolved.sources == {
        "batch.train_batch_size": "flag",
        "optim.max_norm": "--set",
        "optim.l2": "--set",
    }


def test_all_problems_at_once(tmp_path: Path):
    layer = yaml_file(tmp_path, "batch:\n  train_batch_sise: 8\n  n_samples_per_prompt: many\nmodel: 3\n")
    found = findings_of(
        layer, layer_from_flags(["--clip_range", "2", "--mixed_mm_data"]), layer_from_sets(["x"])
    )
    assert set(found) == {
        "config.unknown-key",
        "config.not-a-mapping",
        "config.not-an-assignment",
        "config.wrong-type batch.n_samples_per_prompt",
        "config.out-of-range algorithm.clip_range",
        "config.not-available vlm.mixed_mm_data",
    }
    unknown = found["config.unknown-key"]
    assert unknown.fixes[0].set == {"batch.train_batch_size": 8}
    assert "line 2" in unknown.evidence[0]
    assert "line 3" in found["config.wrong-type batch.n_samples_per_prompt"].evidence[0]


def test_a_wrong_type_names_value_expected_type_and_example():
    finding = findings_of(Layer("t", {"batch.train_batch_size": "12x"}))[
        "config.wrong-type batch.train_batch_size"
    ]
    assert "'12x'" in finding.cause and "a whole number ≥ 1" in finding.cause
    assert "train_batch_size: 128" in finding.fixes[0].text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch.train_batch_size", True),
        ("batch.train_batch_size", 1.5),
        ("batch.train_batch_size", None),
        ("batch.train_batch_size", [8]),
        ("batch.train_batch_size", {"a": 1}),
        ("optim.l2", "nine"),
        ("optim.l2", False),
        ("optim.max_norm", float("inf")),
        ("optim.actor_learning_rate", float("nan")),
        ("model.bf16", 2),
        ("model.bf16", "maybe"),
        ("model.pretrain", 7),
        ("optim.adam_betas", "0.9"),
        ("optim.adam_betas", "0.9,0.95,0.99"),
        ("optim.adam_betas", "a,b"),
        ("eval.eval_temperatures", []),
    ],
)
def test_wrong_types(key: str, value: Any):
    assert list(findings_of(Layer("t", {key: value}))) == [f"config.wrong-type {key}"]


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("batch.train_batch_size", 0, 1),
        ("rollout.max_len", -5, 2),
        ("rollout.top_k", -2, -1),
        ("parallel.master_port", 70000, 65535),
        ("optim.lr_warmup_ratio", 1.5, 1),
        ("algorithm.clip_range", 1.0, 0.2),
        ("rollout.temperature", 0, 1.0),
        ("algorithm.dual_clip", 1, 2.0),
        ("optim.adam_betas", [0.9, 1.0], (0.9, 0.5)),
        ("eval.eval_temperatures", [-1, 0.5], (0, 0.5)),
    ],
)
def test_out_of_range_gives_range_and_a_value_that_is_allowed(key: str, value: Any, nearest: Any):
    finding = findings_of(Layer("t", {key: value}))[f"config.out-of-range {key}"]
    assert finding.fixes[0].set == {key: nearest}
    resolve([Layer("t", finding.fixes[0].set)])
    assert any(sign in finding.cause for sign in "<>≤≥")


def test_a_choice_is_named_with_its_alternatives():
    finding = findings_of(Layer("t", {"algorithm.kl_estimator": "k4"}))[
        "config.not-a-choice algorithm.kl_estimator"
    ]
    assert "k1, k2, k3" in finding.cause
    near = findings_of(Layer("t", {"algorithm.advantage_estimator": "gapo"}))
    fix = near["config.not-a-choice algorithm.advantage_estimator"].fixes[0]
    resolve([Layer("t", fix.set)])  # the nearest choice offered is one that is built


def test_a_key_of_another_section_says_where_it_stands():
    finding = findings_of(layer_from_sets(["model.train_batch_size=8"]))["config.unknown-key"]
    assert "section batch, not model" in finding.cause
    assert finding.fixes[0].set == {"batch.train_batch_size": 8}


def test_a_secret_given_as_a_setting_is_not_repeated():
    (finding,) = findings_of(layer_from_flags(["--wandb_api_key", "hunter2"])).values()
    assert "hunter2" not in repr(finding) and "WANDB_API_KEY" in finding.fixes[0].text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vlm.mixed_mm_data", True),
        ("reward.rm_use_engine", True),
        ("logging.plot_every", 5),
        ("algorithm.dynamic_sampling", True),
        ("logging.use_wandb", "project"),
        ("algorithm.advantage_estimator", "gae"),
    ],
)
def test_features_that_are_not_built_are_refused_by_name(key: str, value: Any):
    finding = findings_of(Layer("t", {key: value}))[f"config.not-available {key}"]
    assert key in finding.cause and "not available in this version" in finding.cause
    if finding.fixes[0].set:
        resolve([Layer("t", finding.fixes[0].set)])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vlm.mixed_mm_data", False),
        ("algorithm.advantage_estimator", "rloo"),
        ("logging.use_wandb", None),
        ("logging.plot_every", 10),
    ],
)
def test_values_that_ask_for_nothing_missing_pass(key: str, value: Any):
    assert resolve([Layer("t", {key: value})]).sources == {key: "t"}


def test_a_refused_value_of_a_preset_can_be_overridden():
    preset = Layer("preset p", {"rollout.engine_type": "vllm", "batch.train_batch_size": "wrong"})
    resolved = resolve([preset, layer_from_flags(["--engine_type", "hf", "--train_batch_size", "8"])])
    assert resolved.config.rollout.engine_type == "hf"


def test_examine_tells_which_values_are_not_known():
    layers = [layer_from_flags(["--trian_batch_size", "8", "--l2", "x", "--max_norm", "3"])]
    examined = examine(layers)
    assert {"batch.train_batch_size", "optim.l2"} <= examined.broken
    assert "optim.max_norm" not in examined.broken
    assert examined.resolved.config.optim.max_norm == 3


@pytest.mark.parametrize(
    ("text", "id", "words"),
    [
        ("batch: {train_batch_size: 1\nmodel: [", "config.yaml-syntax", "line 2, column"),
        ("- a\n- b\n", "config.not-a-mapping", "a list"),
        ("hello\n", "config.not-a-mapping", "a single value"),
        ("batch: 7\n", "config.not-a-mapping", "section batch is 7"),
        ("batch:\n  train_batch_size: 1\n  train_batch_size: 2\n", "config.duplicate-key", "line 3"),
        ("batch:\n  train_batch_size: 1\ntrain_batch_size: 2\n", "config.duplicate-key", "line 3"),
        ("batch: {}\nmodel: {}\nbatch: {}\n", "config.duplicate-key", "in line 1"),
        ("x: !!python/object:os.system {}\n", "config.yaml-syntax", "line 1"),
        ("optim: {l2: !!int abc}\n", "config.yaml-syntax", "abc"),
        ("a: &a [*a]\n", "config.yaml-syntax", ""),
        ("optim:\n\tl2: 1\n", "config.yaml-syntax", "line 2, column 1"),
    ],
)
def test_problems_of_a_yaml_file_are_findings(tmp_path: Path, text: str, id: str, words: str):
    found = [f for f in yaml_file(tmp_path, text).findings if f.id == id]
    assert found and words in found[0].cause and "my.yaml" in found[0].cause


def test_unreadable_files_are_findings(tmp_path: Path):
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\xfe")
    for path, words in (
        (tmp_path / "no.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "UTF-8"),
    ):
        (finding,) = layer_from_yaml(path).findings
        assert finding.id == "config.file-unreadable" and words in finding.cause


def test_yaml_forms(tmp_path: Path):
    text = """
    batch: {train_batch_size: 1e2, rollout_batch_size: "32"}
    model:
    optim:
      actor_learning_rate: 5e-7
      adam_betas: [0.9, 0.99]
    clip_range_higher: .3
    eval_temperatures: 0
    system-prompt: no
    disable_engine_sleep: true
    wandb_org: null
    """
    config = resolve([yaml_file(tmp_path, text)]).config
    assert config.batch.train_batch_size == 100 and config.batch.rollout_batch_size == 32
    assert config.optim.actor_learning_rate == 5e-7 and config.optim.adam_betas == (0.9, 0.99)
    assert config.algorithm.clip_range_higher == 0.3 and config.eval.eval_temperatures == (0.0,)
    assert config.data.system_prompt == "no"
    assert config.rollout.enable_engine_sleep is False


def test_sets_take_yaml_like_values():
    sets = [
        "optim.actor_learning_rate=5e-7",
        "fsdp=true",
        "kl_target=null",
        "eval_temperatures=[0,1]",
        "seed = 10_000",
    ]
    sets += ["system_prompt=Be brief: a = b # not a comment", "adam_betas=0.9,0.99", "bf16=off"]
    config = resolve([layer_from_sets(sets)]).config
    assert config.optim.actor_learning_rate == 5e-7 and config.parallel.fsdp is True
    assert config.algorithm.kl_target is None and config.eval.eval_temperatures == (0, 1)
    assert config.run.seed == 10_000 and config.model.bf16 is False and config.optim.adam_betas == (0.9, 0.99)
    assert config.data.system_prompt == "Be brief: a = b # not a comment"


def test_every_example_is_accepted_and_survives_text():
    for parameter in parameters().values():
        value, finding = check_value(example(parameter), parameter)
        assert finding is None, parameter.key
        if parameter.kind != "floats":
            assert check_value(parse_text(str(example(parameter)), parameter), parameter) == (value, None)


AWKWARD = [
    *(
        "",
        " ",
        "null",
        "true",
        "yes",
        "5e-7",
        "1e3",
        "010",
        "1:30",
        "2024-01-01",
        ".inf",
        "1_000",
        "0x1f",
        "~",
    ),
    *(
        "a: b",
        "# c",
        "- x",
        "a #b",
        "'q'",
        '"',
        "{a}",
        "[1]",
        "*a",
        "&a",
        "!t",
        "%",
        "@x",
        "`",
        "=",
        "<<",
        "end:",
    ),
    *("line\nbreak\n", "tab\t", "a\\nb", "ünïcode 数", "\u2028", "\x85", "\x7f", "😀", "x" * 300),
]


def random_value(parameter: Parameter, rng: random.Random) -> Any:
    if parameter.optional and rng.random() < 0.3:
        return None
    if parameter.kind == "bool":
        return rng.random() < 0.5
    if parameter.kind == "choice":
        return rng.choice(parameter.choices)
    if parameter.kind == "str":
        return rng.choice(AWKWARD)
    if parameter.kind == "floats":
        count = 2 if parameter.name == "adam_betas" else rng.randint(1, 4)
        return tuple(rng.choice([0.0, 0.1, 0.95, 1e-12, rng.random()]) for _ in range(count))
    if parameter.kind == "int":
        low = int(parameter.bounds.get("ge", parameter.bounds.get("gt", 0) + 1))
        return rng.choice([low, low + 1, rng.randint(low, 10**4)])
    if parameter.bounds.get("le", parameter.bounds.get("lt", 2)) <= 1:
        return rng.choice([5e-7, 0.5, rng.uniform(1e-9, 0.999)])
    return rng.choice([1.5, 2e-0, 1e22, rng.uniform(1.01, 100)])


def test_config_yaml_is_read_back_exactly(tmp_path: Path):
    rng = random.Random(0)
    path = tmp_path / "config.yaml"
    for _ in range(60):
        given = rng.sample(sorted(parameters()), rng.randint(0, len(parameters())))
        values = {key: random_value(parameters()[key], rng) for key in given}
        values = {key: value for key, value in values.items() if not parameters()[key].refuses(value)}
        half = set(list(values)[::2])
        layers = [Layer("preset a: #1 'x'\nend", {k: v for k, v in values.items() if k in half})]
        layers.append(Layer("flag", {k: v for k, v in values.items() if k not in half}))
        resolved = resolve(layers)
        assert set(resolved.sources) == set(values)
        path.write_text(dump_resolved(resolved), encoding="utf-8")
        assert load_resolved(path) == resolved


def test_config_yaml_is_readable_and_complete():
    text = dump_resolved(
        resolve([Layer("preset quickstart", {"optim.l2": 5e-7}), layer_from_flags(["--no-bf16"])])
    )
    assert "  bf16: false  # flag\n" in text and "# preset quickstart\n" in text
    assert "  max_norm: 1.0\n" in text  # a default: no comment
    for parameter in parameters().values():
        assert f"\n  {parameter.name}: " in text


def test_overrides_of_a_recorded_configuration_keep_its_sources(tmp_path: Path):
    first = resolve([Layer("preset p", {"optim.l2": 0.1, "batch.train_batch_size": 8})])
    recorded = yaml_file(tmp_path, dump_resolved(first))
    again = resolve([recorded, layer_from_flags(["--train_batch_size", "16"])])
    assert again.sources == {"batch.train_batch_size": "flag", "optim.l2": "preset p"}


def test_a_hand_edited_config_yaml_counts_the_edit_as_given(tmp_path: Path):
    text = dump_resolved(Resolved(RunConfig(), {})).replace("  max_norm: 1.0", "  max_norm: 3.0")
    resolved = resolve([yaml_file(tmp_path, text)])
    assert resolved.config.optim.max_norm == 3.0
    assert resolved.sources == {"optim.max_norm": str(tmp_path / "my.yaml")}
    refused = text.replace("mixed_mm_data: false", "mixed_mm_data: true")
    assert "config.not-available vlm.mixed_mm_data" in findings_of(yaml_file(tmp_path, refused))


def test_a_key_given_as_a_project_name_is_not_repeated() -> None:
    key = "0123456789abcdef0123456789abcdef01234567"
    with pytest.raises(FindingsError, match=r"logging\.use_wandb = …: not available") as raised:
        resolve([layer_from_flags(["--use_wandb", key])])
    assert key not in str(raised.value)


def test_a_parameter_that_is_always_refused_is_not_suggested() -> None:
    with pytest.raises(FindingsError) as raised:
        resolve([layer_from_flags(["--lerning_rate", "1"])])
    assert "actor_learning_rate" in str(raised.value)
    assert "critic_learning_rate" not in str(raised.value)
