"""Counts of parameters against models as transformers builds them."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.footprint.bundled import Entry, table
from engine.footprint.catalog import find_model
from engine.footprint.model_config import shape_of
from engine.footprint.shape import ModelShape
from tests.engine.footprint.meta_models import TINY, build, decoder, numel

FACTS = Path(__file__).resolve().parents[4] / "shared/data/planner/models.json"


def facts() -> list[dict[str, Any]]:
    return json.loads(FACTS.read_text()) if FACTS.is_file() else []


def assert_counts(shape: ModelShape, model: Any) -> None:
    layers = [numel(layer) for layer in getattr(decoder(model), "layers", None) or decoder(model).h]
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    assert shape.exact
    assert shape.params == numel(model)
    assert shape.n_tensors == len(list(model.parameters()))
    assert shape.params_layer == sum(layers) // len(layers)
    assert shape.params_largest_layer == max(layers)
    assert shape.params_embedding == embedding.numel()
    assert shape.params_head == (0 if head is embedding else head.numel())
    assert shape.params_text == numel(model) - (numel(model.model.visual) if shape.vision else 0)


@pytest.mark.parametrize("kind", TINY)
def test_small_models_of_every_family(kind: str) -> None:
    assert_counts(shape_of(TINY[kind], kind), build(TINY[kind]))


@pytest.mark.parametrize("entry", table(), ids=lambda entry: entry.id)
def test_bundled_models(entry: Entry) -> None:
    shape = shape_of(entry.config, entry.id)
    assert shape.params == entry.params
    assert_counts(shape, build(entry.config))


@pytest.mark.skipif(not FACTS.is_file(), reason="facts about models are not here")
@pytest.mark.parametrize("fact", facts(), ids=lambda fact: fact["id"])
def test_facts_about_models(fact: dict[str, Any]) -> None:
    for name in (fact["id"], *fact["same_dimensions"]):
        shape = find_model(name)
        assert shape.name == name
        assert shape.params == fact["params_total"]
        assert shape.params_text == fact["params_text"]
        assert shape.params_layer == fact["params_per_layer"]
        assert shape.params_embedding == fact["params_embedding"]
        assert shape.params_head == fact["params_lm_head"]
        assert shape.params_active == fact["params_active_text"]
        assert shape.params_matmul == fact["params_matmul_text"]
        assert shape.kv_bytes(1, 2) == fact["kv_bytes_per_token_bf16"]
        assert shape.head_dim == fact["head_dim"]
        assert (shape.qkv_bias, shape.qk_norm) == (fact["qkv_bias"], fact["qk_norm"])
        assert (shape.vision.params if shape.vision else None) == (fact["vision"] or {}).get("params")


def test_a_token_uses_the_experts_it_is_sent_to() -> None:
    shape = shape_of(TINY["qwen3_moe"], "sparse")
    model = build(TINY["qwen3_moe"])
    experts = [numel(layer.mlp.experts) for layer in model.model.layers if hasattr(layer.mlp, "experts")]
    assert len(experts) == 2  # one layer is dense
    assert shape.params_active == numel(model) - sum(experts) // 2  # 2 of 4 are used
    assert shape.params_matmul == shape.params_active - shape.params_embedding


def test_matrix_products_leave_out_what_is_only_looked_up() -> None:
    gpt2, untied = shape_of(TINY["gpt2"], "gpt2"), shape_of(TINY["llama"], "llama")
    assert gpt2.params_matmul == gpt2.params - 50 * 32  # positions; the embedding is the head
    assert untied.params_matmul == untied.params - untied.params_embedding


def test_kv_heads_are_shared_out_whole_and_copied_when_there_are_too_few() -> None:
    shape = find_model("Qwen2.5-7B")  # 4 KV heads
    assert [shape.kv_bytes(tp, 2) for tp in (1, 2, 3, 4, 8)] == [57344, 28672, 28672, 14336, 14336]
    assert shape.kv_bytes(1, 1) == 28672


def test_a_latent_is_copied_to_every_rank() -> None:
    shape = find_model("DeepSeek-V3")
    assert shape.kv_bytes(1, 2) == shape.kv_bytes(8, 2) == 61 * (512 + 64) * 2


def test_published_count_of_deepseek_v3_has_router_biases_besides() -> None:
    assert find_model("deepseek-ai/DeepSeek-V3").params + 256 * 58 == 671_026_419_200
