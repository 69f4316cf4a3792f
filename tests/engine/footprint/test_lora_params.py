"""The size of adapters against those that the engine makes with peft."""

from typing import Any

import pytest
import torch

from engine.config.sections import ModelSection
from engine.findings import FindingsError
from engine.footprint.bundled import by_name
from engine.footprint.catalog import find_model
from engine.footprint.lora import lora_params
from engine.footprint.model_config import shape_of
from engine.models.lora import add_adapters, is_adapter
from tests.engine.footprint.meta_models import TINY, build


def adapters(config: dict[str, Any], rank: int, targets: str) -> int:
    """Parameters of the adapters that the engine puts into a model of this `config.json`."""
    model = build(config)
    add_adapters(model, ModelSection(lora_rank=rank, target_modules=targets), base="somewhere", seed=0)
    return sum(p.numel() for name, p in model.named_parameters() if is_adapter(name))


@pytest.mark.parametrize("kind", TINY)
def test_adapters_in_all_linear_layers_of_every_family(kind: str) -> None:
    assert lora_params(shape_of(TINY[kind], kind), 4, "all-linear") == adapters(TINY[kind], 4, "all-linear")


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("llama", "q_proj,v_proj"),
        ("qwen2", " q_proj , o_proj,down_proj,"),
        ("qwen2", "layers.0.self_attn.q_proj,gate_proj"),
        ("qwen2", "model.layers.2.mlp.up_proj"),
        ("gpt2", "c_attn"),
        ("gpt2", "c_proj"),
        ("phi3", "qkv_proj,gate_up_proj"),
        ("deepseek_v3", "q_a_proj,kv_b_proj"),
        ("deepseek_v3", "down_proj"),
        ("deepseek_v3", "q_b_proj,layers.0.mlp.up_proj,gate_proj"),
        ("qwen3_moe", "o_proj,up_proj,gate_proj,down_proj"),
        ("qwen2_moe", "shared_expert.up_proj,shared_expert_gate"),
        ("qwen2_vl", "qkv,q_proj"),
        ("qwen3_vl", "linear_fc1"),
        ("qwen2_5_vl", "gate_proj"),
    ],
)
def test_adapters_in_layers_by_name(kind: str, targets: str) -> None:
    expected = adapters(TINY[kind], 8, targets)
    assert lora_params(shape_of(TINY[kind], kind), 8, targets) == expected > 0


@pytest.mark.parametrize("kind", ["qwen3_moe", "deepseek_v3"])
def test_gate_and_up_of_experts_go_together(kind: str) -> None:
    with pytest.raises(ValueError, match="without also targeting gate_proj"):
        adapters(TINY[kind], 8, "q_b_proj,up_proj" if kind == "deepseek_v3" else "up_proj")
    with pytest.raises(FindingsError, match="up_proj without gate_proj"):
        lora_params(shape_of(TINY[kind], kind), 8, "up_proj")


@pytest.mark.parametrize("kind", TINY)
def test_refused_names_are_refused_with_the_names_there_are(kind: str) -> None:
    with pytest.raises(FindingsError) as theirs:
        adapters(TINY[kind], 8, "nothing")
    with pytest.raises(FindingsError) as ours:
        lora_params(shape_of(TINY[kind], kind), 8, "nothing")
    (mine,), (real,) = ours.value.findings, theirs.value.findings
    assert mine.cause == real.cause
    assert set(mine.evidence[0].split(": ")[1].split(", ")) == set(
        real.evidence[0].split(": ")[1].split(", ")
    )


def test_a_published_figure() -> None:
    assert lora_params(find_model("Qwen2.5-7B"), 32, "all-linear") == 80_740_352


@pytest.mark.parametrize("name", ["Qwen2.5-7B", "Qwen3-30B-A3B", "DeepSeek-V2-Lite", "Qwen2.5-VL-3B", "gpt2"])
def test_whole_bundled_models(name: str) -> None:
    entry, hub_id = by_name()[name.lower()]
    with torch.device("meta"):
        expected = adapters(entry.config, 16, "all-linear")
    assert lora_params(find_model(hub_id), 16, "all-linear") == expected


@pytest.mark.parametrize("targets", ["q_prj", "", ",", "lm_head", "all_linear", "embed_tokens"])
def test_names_that_fit_no_layer_are_findings(targets: str) -> None:
    with pytest.raises(FindingsError) as error:
        lora_params(find_model("Qwen2.5-7B"), 8, targets)
    (finding,) = error.value.findings
    assert finding.id == "model.lora-target"
    assert "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in finding.evidence[0]
