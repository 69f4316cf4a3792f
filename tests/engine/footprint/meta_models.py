"""Models as transformers builds them from a `config.json`, without memory."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SPARSE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 12, "v_head_dim": 20}
DEEPSEEK = {
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
    "n_group": 2,
    "topk_group": 1,
}
TOWER = {"depth": 2, "hidden_size": 48, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 56}
NEW_TOWER = {**TOWER, "deepstack_visual_indexes": [0], "num_position_embeddings": 36}

TINY: dict[str, dict[str, Any]] = {
    "llama": {**SIZES, "model_type": "llama"},
    "llama, biases": {
        **SIZES,
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 12,
    },
    "mistral": {**SIZES, "model_type": "mistral", "attention_bias": True},
    "phi3": {**SIZES, "model_type": "phi3", "pad_token_id": 0},
    "qwen2": {**SIZES, "model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {**SIZES, "model_type": "qwen3", "attention_bias": True},
    "gemma": {**SIZES, "model_type": "gemma"},
    "gemma2": {**SIZES, "model_type": "gemma2", "head_dim": 12},
    "gemma3_text": {**SIZES, "model_type": "gemma3_text", "tie_word_embeddings": False},
    "gpt2": {
        "model_type": "gpt2",
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "vocab_size": 61,
        "n_positions": 50,
    },
    "mixtral": {**SIZES, "model_type": "mixtral", "num_local_experts": 4},
    "qwen2_moe": {**SIZES, **SPARSE, "model_type": "qwen2_moe", "shared_expert_intermediate_size": 24},
    "qwen2_moe, dense layers": {
        **SIZES,
        **SPARSE,
        "model_type": "qwen2_moe",
        "shared_expert_intermediate_size": 24,
        "decoder_sparse_step": 2,
        "qkv_bias": False,
    },
    "qwen3_moe": {**SIZES, **SPARSE, "model_type": "qwen3_moe", "mlp_only_layers": [0]},
    "deepseek_v2": {
        **SIZES,
        **DEEPSEEK,
        **LATENT,
        "model_type": "deepseek_v2",
        "q_lora_rank": None,
        "n_shared_experts": 2,
    },
    "deepseek_v3": {
        **SIZES,
        **DEEPSEEK,
        **LATENT,
        "model_type": "deepseek_v3",
        "q_lora_rank": 24,
        "attention_bias": True,
    },
    "qwen2_vl": {
        **SIZES,
        "model_type": "qwen2_vl",
        "tie_word_embeddings": True,
        "vision_config": {"depth": 2, "embed_dim": 48, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2},
    },
    "qwen2_5_vl": {"model_type": "qwen2_5_vl", "text_config": SIZES, "vision_config": TOWER},
    "qwen3_vl": {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": True,
        "text_config": SIZES,
        "vision_config": NEW_TOWER,
    },
    "qwen3_vl_moe": {
        "model_type": "qwen3_vl_moe",
        "text_config": {**SIZES, **SPARSE},
        "vision_config": NEW_TOWER,
    },
}
"""A small `config.json` of each family, by what it is."""


def build(config: Mapping[str, Any], device: str = "meta") -> Any:
    """The model of a `config.json`."""
    settings = dict(config)
    library = CONFIG_MAPPING[settings.pop("model_type")](**settings)
    kind = AutoModelForImageTextToText if "vision_config" in config else AutoModelForCausalLM
    with torch.device(device):
        return kind.from_config(library)


def numel(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def decoder(model: Any) -> Any:
    """The part of a model that holds its decoder layers."""
    inner = model.base_model
    return getattr(inner, "language_model", inner)
