"""Reading `config.json`: defaults as transformers has them, nested and flat files, and what is wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING

from engine.findings import FindingsError
from engine.footprint import families
from engine.footprint.model_config import shape_of
from tests.engine.footprint.meta_models import SIZES, TINY, build, numel

FIVE = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
OTHER_NAMES = {
    "num_local_experts": "num_experts",
    "sliding_window_pattern": "_sliding_window_pattern",
}
TEXT_FAMILIES = {"gemma3": "gemma3_text"} | {f"{f}": f"{f}_text" for f in families.TOWER_DEFAULTS}


@pytest.mark.parametrize("family", families.DEFAULTS)
def test_defaults_are_those_of_transformers(family: str) -> None:
    library = CONFIG_MAPPING[TEXT_FAMILIES.get(family, family)]()
    outer = CONFIG_MAPPING[family]()
    for key, value in families.DEFAULTS[family].items():
        if key == "sliding_window" and not families.DEFAULTS[family].get("use_sliding_window", True):
            continue  # transformers clears it when it is not used
        theirs = getattr(outer if key == "tie_word_embeddings" else library, OTHER_NAMES.get(key, key))
        assert (tuple(theirs) if isinstance(theirs, list) else theirs) == value, key


@pytest.mark.parametrize("family", families.TOWER_DEFAULTS)
def test_defaults_of_towers_are_those_of_transformers(family: str) -> None:
    library = CONFIG_MAPPING[family]().vision_config
    for key, value in families.TOWER_DEFAULTS[family].items():
        theirs = getattr(library, key)
        assert (tuple(theirs) if isinstance(theirs, list) else theirs) == value, key


@pytest.mark.parametrize(
    "family", sorted(set(families.DEFAULTS) - families.LATENT - {"gpt2", "gemma3", "phi3"})
)
def test_a_file_with_sizes_alone_counts_as_transformers_would_build_it(family: str) -> None:
    config: dict[str, Any] = {"model_type": family, **FIVE}
    if family in families.TOWER_DEFAULTS:
        config = {"model_type": family, "text_config": FIVE, "vision_config": {}}
    assert shape_of(config, family).params == numel(build(config))


@pytest.mark.parametrize("kind", TINY)
def test_what_transformers_saves_reads_the_same(kind: str, tmp_path: Path) -> None:
    model = build(TINY[kind])
    model.config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    read = shape_of(saved, kind)
    assert replace(read, context=None) == replace(shape_of(TINY[kind], kind), context=None)


def test_the_context_is_read_where_it_is_given() -> None:
    assert shape_of({**TINY["llama"], "max_position_embeddings": 512}, "m").context == 512
    assert shape_of(TINY["llama"] | {"max_position_embeddings": None}, "m").context is None


def test_head_size_is_read_where_it_is_given() -> None:
    assert shape_of({**TINY["llama"], "head_dim": 20}, "m").head_dim == 20
    assert shape_of(TINY["llama"], "m").head_dim == 8
    assert shape_of(TINY["qwen3"], "m").head_dim == 128


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        {"model_type": "qwen2", "sliding_window": 16},
        {"model_type": "qwen2_moe", "use_sliding_window": True, "sliding_window": 16},
        {"model_type": "gemma2"},
        {"model_type": "gemma3_text", "num_hidden_layers": 13},
        {
            "model_type": "qwen3",
            "use_sliding_window": True,
            "layer_types": ["sliding_attention"] * 2 + ["full_attention"],
        },
    ],
    ids=lambda settings: "-".join(map(str, settings.values()))[:40],
)
def test_windows_are_those_of_transformers(settings: dict[str, Any]) -> None:
    config = {**SIZES, **settings}
    library = CONFIG_MAPPING[settings["model_type"]](**{k: v for k, v in config.items() if k != "model_type"})
    windowed = library.layer_types.count("sliding_attention")
    shape = shape_of(config, "m")
    assert shape.windowed_layers == windowed
    assert shape.window == (library.sliding_window if windowed else None)


def test_every_layer_of_mistral_has_its_window() -> None:
    shape = shape_of(TINY["mistral"], "m")
    assert (shape.window, shape.windowed_layers) == (4096, 3)
    assert shape_of({**TINY["mistral"], "sliding_window": None}, "m").window is None


def test_an_unknown_family_is_counted_like_llama_and_says_so() -> None:
    shape = shape_of({**TINY["llama"], "model_type": "newest"}, "m")
    assert not shape.exact
    assert "newest" in shape.note and "llama-like" in shape.note
    assert shape.params == shape_of(TINY["llama"], "m").params


def test_an_unknown_mixture_of_experts_is_counted_as_one() -> None:
    shape = shape_of({**TINY["deepseek_v3"], "model_type": "newest"}, "m")
    assert shape.experts and shape.latent
    assert shape.params == shape_of({**TINY["deepseek_v3"], "n_shared_experts": 0}, "m").params


def test_a_vision_tower_that_is_not_known_is_not_counted_and_says_so() -> None:
    shape = shape_of({"model_type": "gemma3", "text_config": SIZES, "vision_config": {"depth": 2}}, "m")
    assert not shape.exact and shape.vision is None
    assert "vision tower" in shape.note


def test_missing_sizes_are_named_all_at_once() -> None:
    with pytest.raises(FindingsError) as error:
        shape_of({"model_type": "llama", "hidden_size": 32, "num_attention_heads": 4}, "some/model")
    (finding,) = error.value.findings
    assert finding.id == "model.config-incomplete"
    assert "num_hidden_layers, intermediate_size, vocab_size" in finding.cause
    assert "some/model" in finding.cause and "llama" in finding.evidence[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden_size": "32"}, "hidden_size = '32'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
        ({"num_hidden_layers": 10**9, "num_experts": 2, "num_experts_per_tok": 2}, "num_hidden_layers = 10"),
        ({"vocab_size": -1, "head_dim": 1.5}, "head_dim = 1.5"),
        ({"hidden_size": 33}, "hidden_size = 33, no multiple of num_attention_heads = 4"),
        ({"num_key_value_heads": True}, "num_key_value_heads = True"),
        ({"num_experts": 4, "num_experts_per_tok": 8}, "num_experts_per_tok = 8"),
        ({"num_experts": "many"}, "num_experts = 'many'"),
        ({"text_config": [1]}, "text_config = [1]"),
        ({"sliding_window": "wide"}, "sliding_window = 'wide'"),
        ({"max_window_layers": []}, "max_window_layers = []"),
        ({"kv_lora_rank": 4}, "qk_rope_head_dim"),
        (
            {"n_shared_experts": "two", "num_experts": 2, "num_experts_per_tok": 2},
            "n_shared_experts",
        ),
        ({"layer_types": [3], "sliding_window": 8}, "layer_types = [3]"),
        ({"layer_types": 3, "sliding_window": 8}, "layer_types"),
        ({"mlp_only_layers": 3, "num_experts": 4, "num_experts_per_tok": 2}, "mlp_only_layers"),
    ],
)
def test_wrong_values_are_findings(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FindingsError) as error:
        shape_of({**TINY["llama"], **settings}, "m")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("kind", "tower", "said"),
    [
        ("qwen2_vl", {"embed_dim": "wide"}, "vision_config.embed_dim = 'wide'"),
        ("qwen2_vl", {"mlp_ratio": "big"}, "vision_config.mlp_ratio = 'big'"),
        ("qwen3_vl", {"depth": None}, "vision_config.depth"),
        ("qwen3_vl", {"depth": 10**9}, "vision_config.depth = 10"),
        ("qwen3_vl", {"deepstack_visual_indexes": 3}, "vision_config.deepstack_visual_indexes = 3"),
    ],
)
def test_wrong_values_of_towers_are_findings(kind: str, tower: dict[str, Any], said: str) -> None:
    config = TINY[kind]
    with pytest.raises(FindingsError) as error:
        shape_of({**config, "vision_config": {**config["vision_config"], **tower}}, "m")
    assert said in str(error.value)


@pytest.mark.parametrize("config", [[], "llama", 3, None, {}])
def test_what_is_no_configuration_is_a_finding(config: Any) -> None:
    with pytest.raises(FindingsError, match="m"):
        shape_of(config, "m")
