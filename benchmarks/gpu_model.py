"""Models of published shapes with random weights, for measuring without a download."""

import json
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 1024,
        "tie_word_embeddings": True,
    },
    "0.5B": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "7B": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
}
"""Qwen2.5's 0.5B and 7B by their published `config.json`; `tiny` shows that a benchmark runs."""

PAD, EOS = 0, 1


def write_model(folder: Path, shape: str) -> int:
    """A bfloat16 Qwen2 model with random weights and a tokenizer of as many words; its parameters."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    sizes = SHAPES[shape]
    ids = {"pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": None}
    config = Qwen2Config(**sizes, **ids, max_position_embeddings=32768, dtype="bfloat16")
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_words(sizes["vocab_size"]), pad_token="w0", eos_token="w1", padding_side="left"
    )
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())


def write_prompts(path: Path, shape: str, prompt_tokens: int, count: int) -> None:
    """Prompts of exactly that many random words."""
    import random

    rng = random.Random(0)
    vocabulary = SHAPES[shape]["vocab_size"]
    prompts = (
        " ".join(f"w{rng.randrange(2, vocabulary)}" for _ in range(prompt_tokens)) for _ in range(count)
    )
    path.write_text("".join(json.dumps({"prompt": p, "label": ""}) + "\n" for p in prompts))


def _words(vocabulary: int) -> Any:
    """A tokenizer whose token i is the word `w<i>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(vocabulary)}, unk_token="w2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer
