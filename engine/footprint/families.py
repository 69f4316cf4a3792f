"""What transformers takes for granted in each family of models, where `config.json` does not say it.

Defaults are those of transformers' configuration classes, of keys that published files leave out.
"""

from collections.abc import Mapping
from typing import Any

_WINDOWS = {"use_sliding_window": False, "max_window_layers": 28, "sliding_window": 4096}
_QWEN3 = {"num_key_value_heads": 32, "head_dim": 128, **_WINDOWS}
_QWEN2_VL = {"num_key_value_heads": 8, **_WINDOWS, "max_window_layers": 80}
_QWEN3_VL = {"num_key_value_heads": 32, "head_dim": 128}
_GEMMA2 = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
_GEMMA3 = {**_GEMMA2, "vocab_size": 262_208, "sliding_window_pattern": 6}
_SPARSE: dict[str, Any] = {"decoder_sparse_step": 1, "mlp_only_layers": ()}
_DEEPSEEK = {"q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "phi3": {},
    "qwen2": {"num_key_value_heads": 32, **_WINDOWS},
    "qwen3": _QWEN3,
    "gemma": {"num_key_value_heads": 16, "head_dim": 256, "tie_word_embeddings": True},
    "gemma2": _GEMMA2,
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "gpt2": {"n_positions": 1024, "tie_word_embeddings": True},
    "mixtral": {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        "num_key_value_heads": 16,
        "qkv_bias": True,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        **_WINDOWS,
        **_SPARSE,
    },
    "qwen3_moe": {
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
        "use_sliding_window": False,
        "sliding_window": 4096,
        **_SPARSE,
    },
    "deepseek_v2": {
        **_DEEPSEEK,
        "v_head_dim": 128,
        "n_routed_experts": 64,
        "moe_intermediate_size": 1407,
        "n_shared_experts": 2,
        "first_k_dense_replace": 0,
    },
    "deepseek_v3": {
        **_DEEPSEEK,
        "v_head_dim": 128,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048,
        "n_shared_experts": 1,
        "first_k_dense_replace": 3,
    },
    "qwen2_vl": _QWEN2_VL,
    "qwen2_5_vl": _QWEN2_VL,
    "qwen3_vl": _QWEN3_VL,
    "qwen3_vl_moe": {
        "num_key_value_heads": 16,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1408,
        **_SPARSE,
    },
}
"""By `model_type`; the families whose parameters are counted exactly."""

_TOWER = {
    "depth": 32,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_NEW_TOWER = {
    **_TOWER,
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "patch_size": 16,
    "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": (8, 16, 24),
}
TOWER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "qwen2_vl": {**_TOWER, "embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 3584},
    "qwen2_5_vl": {**_TOWER, "hidden_size": 3584, "intermediate_size": 3420, "out_hidden_size": 3584},
    "qwen3_vl": _NEW_TOWER,
    "qwen3_vl_moe": _NEW_TOWER,
}
"""Of `vision_config`."""

QKV_BIAS = {"qwen2", "qwen2_vl", "qwen2_5_vl"}
"""Queries, keys and values always have a bias."""
NO_BIAS = {"mistral", "mixtral", "phi3"}
"""`attention_bias` is not read."""
QK_NORM = {"qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_moe", "gemma3", "gemma3_text"}
FOUR_NORMS = {"gemma2", "gemma3", "gemma3_text"}
"""Norms after attention and after the MLP too."""
SPARSE = {"mixtral", "qwen2_moe", "qwen3_moe", "qwen3_vl_moe", "deepseek_v2", "deepseek_v3"}
LATENT = {"deepseek_v2", "deepseek_v3"}
MLP_BIAS = {"llama", "deepseek_v2"}
"""`mlp_bias` is read."""
ALTERNATING = FOUR_NORMS
"""Every second layer, or all but every sixth, has the sliding window."""
WINDOW_ABOVE = {"qwen2", "qwen3", "qwen2_vl", "qwen2_5_vl"}
"""The layers above `max_window_layers` have the sliding window, if it is used."""
