"""Where in a response engine and trainer disagree: the characters and the difference of each token."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

TOKENS_KEPT = 1024
"""Of a response; about 8 bytes each in the database. What comes after them has no differences there."""


def token_differences(
    tokenizer: Any, ids: Sequence[int], response: str, differences: Tensor
) -> dict[str, list[Any]] | None:
    """`characters` that each token adds to `response`, and its `logprob_diff`, trainer − engine in nats.

    Tokens that only together make a character count as one, with the largest of their differences; special
    tokens, which no text shows, are left out. A difference that is not finite is None. Returns None where
    the tokens do not add up to the text, or the tokenizer is none of the `tokenizers` library.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        return None
    stream = DecodeStream(skip_special_tokens=True)
    characters: list[int] = []
    kept: list[float | None] = []
    text, held = "", 0.0
    for id, difference in zip(ids[:TOKENS_KEPT], differences.tolist(), strict=False):
        held = max(held, difference, key=lambda value: abs(value) if isfinite(value) else float("inf"))
        piece = stream.step(backend, id)
        if piece:
            characters.append(len(piece))
            kept.append(round(held, 3) + 0.0 if isfinite(held) else None)  # + 0.0: no -0.0
            text, held = text + piece, 0.0
    return {"characters": characters, "logprob_diff": kept} if response.startswith(text) else None
