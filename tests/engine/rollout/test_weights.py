"""Weights reach the engine, and only whole sets of them."""

import pytest
import torch

from engine.models.actor import Actor
from engine.models.weight_names import engine_weights
from engine.rollout.base import Completion, SamplingParams
from engine.rollout.hf import HFEngine
from tests.engine.rollout import engine_models
from tests.engine.rollout.rollout_models import EOS, FUSED, PAD, build_model

PARAMS = SamplingParams(n=2, temperature=0.0, max_tokens=8)
PROMPTS = [[5, 6, 7], [8, 9]]


def build_engine(family: str) -> HFEngine:
    return HFEngine(build_model(family), eos_token_ids=[EOS], pad_token_id=PAD, max_batch=8)


def generate(engine: HFEngine) -> list[list[Completion]]:
    return engine.generate(PROMPTS, PARAMS, torch.Generator())


@pytest.mark.parametrize("family", [*FUSED, "gpt2", "gemma3-sliding"])
def test_new_weights_are_used_at_once(family: str) -> None:
    engine = build_engine(family)
    before = generate(engine)
    other = build_model(family)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    expected = generate(HFEngine(other, eos_token_ids=[EOS], pad_token_id=PAD, max_batch=8))
    engine.update_weights((name, p.double()) for name, p in other.named_parameters())
    assert generate(engine) == expected != before


def test_either_name_of_a_tied_pair_will_do() -> None:
    other = build_model("qwen2")
    with torch.no_grad():
        other.model.embed_tokens.weight.mul_(2)
    weights = dict(other.named_parameters())
    tied = weights.pop("model.embed_tokens.weight")
    for names in (
        ["model.embed_tokens.weight"],
        ["lm_head.weight"],
        ["lm_head.weight", "model.embed_tokens.weight"],
    ):
        engine = build_engine("qwen2")
        engine.update_weights([*weights.items(), *((name, tied) for name in names)])
        assert torch.equal(engine.model.model.embed_tokens.weight, tied)
        assert torch.equal(engine.model.lm_head.weight, tied)


def test_all_that_does_not_fit_is_named_at_once() -> None:
    engine = build_engine("qwen2")
    weights = dict(build_model("qwen2").named_parameters())
    del weights["model.norm.weight"]
    del weights["model.embed_tokens.weight"]
    weights["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3)
    weights["model.layers.9.mlp.up_proj.weight"] = torch.zeros(3)
    with pytest.raises(ValueError) as error:
        engine.update_weights(weights.items())
    for text in (
        "unknown parameter model.layers.9.mlp.up_proj.weight",
        "missing parameter model.norm.weight",
        "missing parameter model.embed_tokens.weight",
        "model.layers.0.mlp.up_proj.weight is (3,), expected (48, 32)",
    ):
        assert text in str(error.value)


def test_sleeping_and_waking() -> None:
    engine = build_engine("llama")
    expected = generate(engine)
    engine.wake_up()
    assert engine.status == "awake"
    engine.sleep()
    engine.sleep()
    assert engine.status == "asleep"
    with pytest.raises(RuntimeError, match="asleep"):
        engine.update_weights(build_model("llama").named_parameters())
    assert generate(engine) == expected
    assert engine.status == "awake"


def test_fusing_keeps_the_models_own_parameters_in_place() -> None:
    plain, fused = build_model("qwen3"), build_engine("qwen3").model
    for (name, expected), (_, parameter) in zip(
        plain.named_parameters(), fused.named_parameters(), strict=True
    ):
        assert torch.equal(parameter, expected), name
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(fused(ids).logits, plain(ids).logits, atol=1e-5, rtol=0)


def test_models_with_another_kind_of_state_are_refused() -> None:
    model = build_model("qwen3")
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(Exception, match=r"rollout\.hf-unsupported-model.*linear_attention"):
        HFEngine(model, eos_token_ids=[EOS], pad_token_id=PAD, max_batch=8)


def test_fused_experts_come_as_the_model_has_them() -> None:
    def engine_of(seed: int) -> HFEngine:
        model = engine_models.build("qwen3_moe", seed=seed)
        return HFEngine(model, eos_token_ids=[EOS], pad_token_id=PAD, max_batch=8)

    engine, actor = (
        engine_of(0),
        Actor(engine_models.build("qwen3_moe", seed=1), temperature=1.0, chunk_size=64),
    )
    named = ((name, parameter.detach()) for name, parameter in actor.named_parameters())
    engine.update_weights(engine_weights(actor, named, on_disk=engine.names_on_disk))
    assert generate(engine) == generate(engine_of(1)) != generate(engine_of(0))
