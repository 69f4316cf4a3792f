"""What every rollout engine offers: token ids in, sampled token ids with log-probabilities out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to sample the responses to each prompt.

    `temperature` 0 is greedy decoding. `top_k` below 1 and `top_p` 1 filter nothing; with both, the nucleus
    is taken among the `top_k` likeliest. End tokens cannot be sampled among the first `min_tokens` tokens of
    a response; it stops after `max_tokens`.
    """

    n: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int = 16
    min_tokens: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.max_tokens < 1:
            raise ValueError(f"n and max_tokens must be positive, got {self.n} and {self.max_tokens}")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"temperature {self.temperature} or top_p {self.top_p} is out of range")


@dataclass(slots=True)
class Completion:
    """One sampled response.

    `token_ids` includes the end token when one was sampled. `logprobs` holds, for each of them, its natural
    log-probability under softmax(logits / temperature) over the whole vocabulary, that is before `top_k`,
    `top_p` and `min_tokens` remove candidates (temperature 1 for greedy decoding). `truncated`: `max_tokens`
    was reached without an end token.
    """

    token_ids: list[int]
    logprobs: list[float]
    truncated: bool


class RolloutEngine(Protocol):
    """Samples responses from its own copy of the policy."""

    names_on_disk: bool
    """Whether weights come under the names, and in the pieces, of a checkpoint, or as the model has them."""

    @property
    def status(self) -> str:
        """`awake` or `asleep`."""
        ...

    def generate(
        self, prompts: Sequence[Sequence[int]], params: SamplingParams, generator: torch.Generator
    ) -> list[list[Completion]]:
        """`params.n` responses to each prompt, in the order of the prompts; wakes a sleeping engine."""
        ...

    def update_weights(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """Replace all weights: full tensors, any dtype and device, under the names of `names_on_disk`.

        One name of a tied pair is enough. Raises ValueError naming what is unknown, missing or misshapen
        (the weights are then undefined; an engine may stop at the first one), RuntimeError while asleep.
        """
        ...

    def sleep(self) -> None:
        """Give up device memory; again is harmless."""
        ...

    def wake_up(self) -> None:
        """Take device memory back; again is harmless."""
        ...

    def close(self) -> None:
        """End what runs for the engine; it cannot be used afterwards."""
        ...
