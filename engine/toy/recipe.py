"""The size and training of the toy models. Imports neither torch nor transformers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Everything a toy model's weights depend on; its hash names the cache entry."""

    version: int = 1
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    context: int = 512
    seed: int = 1
    batch_size: int = 64
    learning_rate: float = 2e-3
    ramp_steps: int = 50
    measure_every: int = 5
    measure_prompts: int = 256
    stop_accuracy: float = 0.28
    max_steps: int = 1000


VOCABULARY = 258
"""Tokens of the toy models' tokenizer: one for each byte, end, padding."""


def toy_config(recipe: Recipe) -> dict[str, object]:
    """The dimensions of a toy model, by the names of its `config.json`; embeddings are tied."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": recipe.hidden_size,
        "intermediate_size": recipe.intermediate_size,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "num_key_value_heads": recipe.kv_heads,
        "max_position_embeddings": recipe.context,
        "tie_word_embeddings": True,
    }
