"""What a model's attention allows, told from its `config.json`. Imports neither torch nor transformers."""

from collections.abc import Mapping
from typing import Any

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose attention is plain causal attention with rotary positions."""

# fmt: off
PACKABLE = {
    "apertus", "arcee", "cohere", "cohere2", "ernie4_5", "ernie4_5_moe", "exaone4", "gemma", "gemma2",
    "gemma3_text", "glm", "glm4", "gpt2", "gpt_neox", "granite", "granitemoe", "hunyuan_v1_dense",
    "llama", "ministral", "mistral", "mixtral", "nemotron", "olmo", "olmo2", "olmo3", "olmoe", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm",
    "starcoder2",
}
# fmt: on
"""Model types in which positions that restart keep sequences apart.

transformers makes the mask from them. Elsewhere, without an error, tokens see the sequence before theirs:
state-space layers and convolutions run on over the border, and some models do not use positions. The list
is what the tests have seen to work.
"""


def takes_layouts(model: Mapping[str, Any]) -> bool:
    """Whether tokens may stand in a layout of ours: attention in every layer, plain and over everything."""
    kinds = set(model.get("layer_types") or ["full_attention"])
    windowed = model.get("sliding_window") and model.get("use_sliding_window", True)
    return model.get("model_type") in FAMILIES and kinds == {"full_attention"} and not windowed
