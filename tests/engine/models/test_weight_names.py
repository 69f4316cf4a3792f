"""Weights as a checkpoint has them: what `save_pretrained` writes, one parameter at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from engine.models.actor import Actor
from engine.models.weight_names import checkpoint_weights, engine_weights
from tests.engine.rollout.engine_models import build


def vision_model() -> Any:
    torch.manual_seed(0)
    text = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        "bos_token_id": None,
        "eos_token_id": 1,
    }
    vision = {"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 32}
    return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=vision))


@pytest.mark.parametrize("family", ["qwen2", "llama", "gemma2", "qwen3_moe", "mixtral", "qwen2_vl"])
def test_names_and_pieces_are_those_on_disk(family: str, tmp_path: Path) -> None:
    model = vision_model() if family == "qwen2_vl" else build(family)
    model.save_pretrained(tmp_path)
    on_disk = load_file(tmp_path / "model.safetensors")
    made = dict(checkpoint_weights(model, model.named_parameters()))
    assert sorted(made) == sorted(on_disk)
    assert all(torch.equal(made[name], on_disk[name]) for name in made)


def test_a_parameter_goes_out_before_the_next_is_asked_for() -> None:
    model = build("qwen3_moe")
    asked = 0

    def counted() -> Any:
        nonlocal asked
        for named in model.named_parameters():
            asked += 1
            yield named

    for name, _ in checkpoint_weights(model, counted()):
        if name.endswith("layers.0.mlp.experts.0.gate_proj.weight"):
            break
    assert asked < len(list(model.parameters())) / 2


def test_an_actor_is_seen_through() -> None:
    model = build("mixtral")
    actor = Actor(model, temperature=1.0, chunk_size=16)
    inside = dict(checkpoint_weights(model, model.named_parameters()))
    outside = dict(engine_weights(actor, actor.named_parameters(), on_disk=True))
    assert list(outside) == list(inside)
    assert all(torch.equal(outside[name], inside[name]) for name in inside)
