"""Tiny models on disk, of sizes that every rollout engine can run, on two ranks as well."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from engine.toy.tokenizer import build_tokenizer

_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 256,
}
_CONFIGS: dict[str, Any] = {
    "qwen2": lambda **sizes: Qwen2Config(**sizes, tie_word_embeddings=True),
    "llama": lambda **sizes: LlamaConfig(**sizes, tie_word_embeddings=False),
    "qwen3": lambda **sizes: Qwen3Config(**sizes, tie_word_embeddings=False),
    "gemma2": lambda **sizes: Gemma2Config(**sizes, sliding_window=16),
    "qwen3_moe": lambda **sizes: Qwen3MoeConfig(
        **sizes, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64
    ),
    "mixtral": lambda **sizes: MixtralConfig(**sizes, num_local_experts=4),
}
DENSE = ["qwen2", "llama", "qwen3", "gemma2"]


def build(family: str, seed: int = 0, **changes: object) -> Any:
    """A float32 model of `family` whose next tokens are far from uniform, biases included."""
    tokenizer = build_tokenizer()
    ids = {
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = _CONFIGS[family](**{**_SIZES, "vocab_size": len(tokenizer), **changes}, **ids)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    scale = 2 if family == "gemma2" else 4  # it multiplies its embeddings as well
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.mul_(scale)
    return model.eval()


def save(folder: Path, family: str, seed: int = 0, **changes: object) -> Path:
    """A model of `build` with its tokenizer, as a Hugging Face folder."""
    build(family, seed, **changes).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder
