"""Adapters in one process: what they change, what they leave alone, and what the rollout engine gets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, GPT2Config

from engine.config.sections import ModelSection
from engine.data.experience import collate
from engine.findings import FindingsError
from engine.models.actor import Actor
from engine.models.loading import recompute_activations
from engine.models.lora import adapters_disabled, add_adapters, is_adapter, write_adapter_config
from engine.models.weight_names import engine_weights
from engine.rollout.hf import HFEngine
from engine.rollout.weights import copy_weights
from tests.engine.models.test_actor import experiences
from tests.engine.tiny import CONFIGS, tiny_model

CPU = torch.device("cpu")
EVERY_LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def lora_actor(family: str = "qwen2", *, recompute: bool = False, **settings: Any) -> Actor:
    model = tiny_model(family)
    if recompute:
        recompute_activations(model)
    actor = Actor(model, temperature=0.8, chunk_size=100)
    add_adapters(model, ModelSection(**{"lora_rank": 4, **settings}), base="somewhere", seed=0)
    return actor.train()


def forward(actor: Actor) -> Tensor:
    logprobs: Tensor = actor(collate(experiences(), 0, CPU, share_prompts=actor.shares_prompts))[0]
    return logprobs


def train(actor: Actor, steps: int = 3) -> None:
    trained = [p for p in actor.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(steps):
        (-forward(actor).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()


def merged_model(actor: Actor, family: str) -> Any:
    """A model as the rollout engine has it, with the actor's present weights."""
    plain = AutoModelForCausalLM.from_config(CONFIGS[family]())
    copy_weights(
        plain, engine_weights(actor, ((n, p.detach()) for n, p in actor.named_parameters()), on_disk=False)
    )
    return plain


def test_adapters_alone_are_trained_and_begin_as_nothing() -> None:
    actor = lora_actor()
    plain = tiny_model()
    assert type(actor.model) is type(plain)
    assert torch.equal(forward(actor), forward(Actor(tiny_model(), temperature=0.8, chunk_size=100)))
    trained = {name for name, p in actor.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in actor.named_parameters() if is_adapter(name)}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == EVERY_LINEAR
    base = {n: p.clone() for n, p in actor.named_parameters() if n not in trained}
    train(actor)
    assert all(torch.equal(p, base[n]) for n, p in actor.named_parameters() if n in base)
    assert not torch.equal(forward(actor), forward(Actor(plain, temperature=0.8, chunk_size=100)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_are_float32_and_alike_wherever_they_are_made(dtype: torch.dtype) -> None:
    made = []
    for drawn in (0, 3):
        torch.rand(drawn)  # ranks have not drawn as many numbers before
        model = tiny_model().to(dtype)
        add_adapters(model, ModelSection(lora_rank=2), base="somewhere", seed=5)
        made.append({n: p for n, p in model.named_parameters() if is_adapter(n)})
    assert all(p.dtype == torch.float32 for p in made[0].values())
    assert all(torch.equal(p, made[1][name]) for name, p in made[0].items())
    assert any(p.any() for p in made[0].values())


def test_without_its_adapters_the_actor_is_the_reference_model() -> None:
    actor = lora_actor()
    train(actor)
    reference = Actor(tiny_model(), temperature=0.8, chunk_size=100)
    with adapters_disabled(actor), torch.no_grad():
        assert_close(forward(actor), forward(reference), rtol=0, atol=1e-6)
    assert all(p.requires_grad for n, p in actor.named_parameters() if is_adapter(n))
    assert (forward(actor) - forward(reference)).abs().max() > 1e-3


@pytest.mark.parametrize("family", CONFIGS)
def test_the_rollout_engine_gets_the_plain_model_merged(family: str) -> None:
    actor = lora_actor(family, lora_alpha=7, target_modules="q_proj, mlp.down_proj,v_proj")
    train(actor)
    plain = Actor(merged_model(actor, family), temperature=0.8, chunk_size=100)
    assert_close(forward(plain), forward(actor), rtol=0, atol=1e-5)
    names = [
        n
        for n, _ in engine_weights(
            actor, ((n, p.detach()) for n, p in actor.named_parameters()), on_disk=False
        )
    ]
    assert names == [name for name, _ in tiny_model(family).named_parameters()]


def test_hf_engine_samples_with_the_log_probs_of_the_actor() -> None:
    from engine.rollout.base import SamplingParams

    actor = lora_actor()
    train(actor)
    engine = HFEngine(tiny_model(), eos_token_ids=[1], pad_token_id=0, max_batch=4)
    engine.update_weights(
        engine_weights(actor, ((n, p.detach()) for n, p in actor.named_parameters()), on_disk=False)
    )
    params = SamplingParams(n=4, temperature=0.8, top_p=1.0, top_k=-1, max_tokens=8, min_tokens=0)
    (completions,) = engine.generate([[5, 6, 7]], params, torch.Generator().manual_seed(0))
    from engine.data.experience import Experience

    made = [
        Experience((5, 6, 7), c.token_ids, torch.tensor(c.logprobs), truncated=False) for c in completions
    ]
    logprobs, _ = actor(collate(made, 0, CPU, share_prompts=True))
    assert_close(logprobs, torch.cat([e.engine_logprobs for e in made]), rtol=0, atol=1e-5)


def test_layers_that_keep_their_weight_transposed_are_merged_too() -> None:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 61, "n_positions": 64}
    config = GPT2Config(**sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    add_adapters(model, ModelSection(lora_rank=4), base="somewhere", seed=0)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            torch.nn.init.normal_(parameter, std=0.1)
    plain = AutoModelForCausalLM.from_config(config)
    copy_weights(
        plain, engine_weights(model, ((n, p.detach()) for n, p in model.named_parameters()), on_disk=False)
    )
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        assert_close(plain.eval()(tokens).logits, model.eval()(tokens).logits, rtol=0, atol=1e-5)


def test_dropout_of_adapters_acts_in_train_mode_only() -> None:
    actor = lora_actor(lora_dropout=0.5)
    for name, parameter in actor.named_parameters():
        if is_adapter(name):
            torch.nn.init.normal_(parameter, std=0.1)
    assert not torch.equal(forward(actor), forward(actor))
    actor.eval()
    assert torch.equal(forward(actor), forward(actor))


def test_recomputed_activations_give_the_same_gradients() -> None:
    grads = []
    for recompute in (False, True):
        actor = lora_actor(recompute=recompute)
        forward(actor).sum().backward()
        grads.append({n: p.grad for n, p in actor.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and len(grads[0]) == 28
    for name, gradient in grads[0].items():
        assert_close(grads[1][name], gradient, msg=name)


@pytest.mark.parametrize(
    ("wanted", "said", "instead"),
    [
        ("q_prj,v_proj", "'q_prj'", "q_proj,v_proj"),
        ("lm_head", "'lm_head'", "all-linear"),
        ("embed_tokens,query_key_value", "'embed_tokens', 'query_key_value'", "all-linear"),
        ("roj", "'roj'", "all-linear"),
        (" , ", "target_modules is empty", "all-linear"),
    ],
)
def test_unknown_modules_are_a_finding(wanted: str, said: str, instead: str) -> None:
    with pytest.raises(FindingsError) as caught:
        lora_actor(target_modules=wanted)
    (finding,) = caught.value.findings
    assert finding.id == "model.lora-target"
    assert said in finding.cause
    assert "down_proj" in finding.evidence[0] and "lm_head" not in finding.evidence[0]
    fixes = [fix.set["model.target_modules"] for fix in finding.fixes]
    assert instead in fixes
    for fix in fixes:  # and what is proposed works
        assert lora_actor(target_modules=fix)


def test_the_configuration_is_one_that_peft_reads(tmp_path: Path) -> None:
    from peft import LoraConfig

    actor = lora_actor(lora_alpha=9, lora_dropout=0.25, target_modules="q_proj,up_proj")
    write_adapter_config(actor, tmp_path)
    read = LoraConfig.from_pretrained(str(tmp_path))
    assert (read.r, read.lora_alpha, read.lora_dropout) == (4, 9, 0.25)
    assert set(read.target_modules) == {"q_proj", "up_proj"}
    assert (
        json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "somewhere"
    )
    write_adapter_config(tiny_model(), tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
