"""Tiny models of the families and features that decoding must get right."""

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 48
EOS, PAD = 1, 0
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_CONFIGS = {
    "qwen2": lambda: Qwen2Config(**_SIZES, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=16),
    "llama": lambda: LlamaConfig(**_SIZES),
    "llama3-rope": lambda: LlamaConfig(**_SIZES, rope_parameters=_LLAMA3_ROPE),
    "llama-biased": lambda: LlamaConfig(**_SIZES, attention_bias=True, mlp_bias=True),
    "mistral-sliding": lambda: MistralConfig(**_SIZES, head_dim=8, sliding_window=5),
    "gemma3-sliding": lambda: Gemma3TextConfig(**_SIZES, head_dim=8, sliding_window=5),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=EOS
    ),
}
FUSED = ["qwen2", "qwen3", "llama", "llama3-rope"]
"""Families that decode with fused projections; the others with their own modules."""
UNFUSED = [family for family in _CONFIGS if family not in FUSED]


def build_model(family: str) -> PreTrainedModel:
    """A seeded float32 model whose weights are scaled so that it is far from uniform, biases included."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(_CONFIGS[family]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.mul_(4)
    return model.eval()
