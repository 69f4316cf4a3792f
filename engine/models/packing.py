"""Which models may be given sequences one after another in one row."""

from typing import Any

from engine.findings import Finding, FindingsError, Fix

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


def check_packing(model_config: Any) -> None:
    """Raises FindingsError (memory.packing-unsupported-model) where sequences would mix."""
    if model_config.model_type in PACKABLE:
        return
    finding = Finding(
        id="memory.packing-unsupported-model",
        severity="error",
        cause=f"memory.packing_samples = true, but sequences of a {model_config.model_type} model "
        "are not known to stay apart when packed.",
        evidence=("packed can be: " + ", ".join(sorted(PACKABLE)),),
        param="memory.packing_samples",
        fixes=(Fix("leave rows padded", set={"memory.packing_samples": False}),),
    )
    raise FindingsError([finding])
