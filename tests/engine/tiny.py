"""Tiny models made from configurations, for tests of everything that needs a model."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, Qwen2Config

from engine.toy.tokenizer import build_tokenizer

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
CONFIGS = {
    "qwen2": lambda: Qwen2Config(**SIZES, tie_word_embeddings=True),
    "llama": lambda: LlamaConfig(**SIZES),
    "gemma2": lambda: Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=5.0),
}


def tiny_model(family: str = "qwen2", seed: int = 0) -> Any:
    """A randomly initialised float32 causal language model of two layers."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(CONFIGS[family]())


CHAT_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def save_tiny_model(folder: Path, seed: int = 0) -> Path:
    """A tiny model with a byte-level tokenizer and a chat template, as a Hugging Face folder."""
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    sizes = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 2048}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(**sizes, tie_word_embeddings=True, bos_token_id=None, **ids)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
