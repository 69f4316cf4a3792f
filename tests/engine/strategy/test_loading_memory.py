"""Rank 0 alone holds a whole model while it is loaded; all ranks train what they did when each held one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, DeepseekV3Config, Qwen2Config

from engine.toy.tokenizer import build_tokenizer
from tests.engine.ranks import run_ranks
from tests.engine.rollout.engine_models import save

PROGRAMS = Path(__file__).parents[1] / "programs"
ALIKE = PROGRAMS / "loaded_models.py"

DEEPSEEK = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
}

pytestmark = [pytest.mark.dist, pytest.mark.slow]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders by family: tied and untied heads, experts that are fused on loading, more than one dtype."""
    root = tmp_path_factory.mktemp("models")
    folders = {family: save(root / family, family) for family in ("qwen2", "llama", "qwen3_moe")}
    folders["deepseek_v3"] = save_deepseek(root / "deepseek_v3")
    return {family: str(folder) for family, folder in folders.items()}


def save_deepseek(folder: Path) -> Path:
    """A model of which one buffer stays float32, in bfloat16 too."""
    tokenizer = build_tokenizer()
    ids = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    config = DeepseekV3Config(**DEEPSEEK, vocab_size=len(tokenizer), **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def alike(*, nproc: int, **cases: dict[str, Any]) -> list[str]:
    """What is printed beside the names of cases in which all tensors are alike on every rank."""
    lines = run_ranks(ALIKE, json.dumps(cases), nproc=nproc).splitlines()
    assert [line for line in lines if line.endswith(": alike")] == [f"{name}: alike" for name in cases]
    return [line for line in lines if "whole model" in line]


def test_weights_are_those_that_every_rank_would_have_loaded(models: dict[str, str]) -> None:
    tied, untied, moe, mixed = ({"pretrain": folder} for folder in models.values())
    offload = {"adam_offload": True, "ref_reward_offload": True}
    layers = {"gradient_checkpointing": True, "fused_linear_logprob": True}
    told = alike(
        nproc=2,
        float32={"model": {**tied, "bf16": False}},
        masters={"model": untied, "memory": {"use_mp_opt": True, **offload}},
        offloaded={"model": tied, "memory": {"fsdp_cpu_offload": True}},
        adapters={"model": {**untied, "lora_rank": 4}},
        experts={"model": moe},
        dtypes={"model": mixed},
        layers={"model": {**tied, "torch_compile": True}, "memory": layers},
        replicas={"model": tied, "parallel": {"fsdp_shard_size": 1}},
    )
    assert not told


def test_groups_that_shard_get_the_same(models: dict[str, str]) -> None:
    """The last two of four ranks are a group in which nobody has loaded anything."""
    shard = {"parallel": {"fsdp_shard_size": 2}}
    assert not alike(nproc=4, hsdp={"model": {"pretrain": models["llama"]}, **shard})


@pytest.mark.deepspeed
def test_deepspeed_reads_the_reference_model_once(models: dict[str, str]) -> None:
    stage = {"parallel": {"zero_stage": 3}}
    assert not alike(nproc=2, zero={"model": {"pretrain": models["qwen2"]}, **stage})


OWN_CODE = """
from transformers import Qwen2ForCausalLM

class Own(Qwen2ForCausalLM):
    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        model, info = super().from_pretrained(*args, **kwargs)
        model.resize_token_embeddings(model.config.vocab_size + 5)
        return model, info
"""
NO_CONFIG = """
from transformers import Qwen2ForCausalLM

class Own(Qwen2ForCausalLM):
    @classmethod
    def _from_config(cls, config, **kwargs):
        raise NotImplementedError("call from_pretrained")
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (OWN_CODE, "built without its weights it differs in model.embed_tokens.weight"),
        (
            NO_CONFIG,
            "it cannot be built without its weights (NotImplementedError: call from_pretrained)",
        ),
    ],
)
def test_models_that_cannot_do_without_weights_are_loaded_by_every_rank(
    code: str, why: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "own", "qwen2")
    (folder / "modeling_own.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_own.Own"}
    (folder / "config.json").write_text(json.dumps(config))
    own = {"pretrain": str(folder), "trust_remote_code": True}
    told = alike(nproc=2, own={"model": own})
    assert told == 2 * [f"every rank loads the whole model into host memory: {why}"]  # policy, reference


def test_what_rank_0_finds_wrong_ends_every_rank(tmp_path: Path) -> None:
    folder = save(tmp_path / "broken", "qwen2")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    said = (2, [("model.missing-weights", ("model.norm.weight",))])
    assert str([said, said]) in run_ranks(PROGRAMS / "failing_load.py", folder)


def test_one_rank_of_a_machine_holds_the_whole(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=9,
        num_attention_heads=16,
        num_key_value_heads=8,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    whole = 4 * sum(p.numel() for p in model.parameters())
    assert whole > 4 * 100e6
    model.save_pretrained(tmp_path)
    printed = run_ranks(PROGRAMS / "loading_memory.py", tmp_path)
    first, second = json.loads(printed.splitlines()[-1])
    # Half of it in shards, and one layer.
    assert second < 0.8 * whole < whole < first
