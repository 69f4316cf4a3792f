"""Prompts waiting to be answered: each runs through the model once, whatever the number of its responses."""

import inspect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from engine.rollout.kv import SlotCache


class Forward:
    """Calls any causal language model of transformers with a `SlotCache`."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.takes = inspect.signature(model.forward).parameters.keys()

    def __call__(self, tokens: Tensor, positions: Tensor, cache: SlotCache, mask: Tensor | None) -> Tensor:
        """Logits [rows, vocabulary] after the last `tokens` [rows, new columns] at `positions` (same shape).

        `mask` [rows, columns + new columns] is true where there is a token; None: everywhere.
        """
        optional: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        output = self.model(
            input_ids=tokens,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self.takes},
        )
        return output.logits[:, -1]


@dataclass(frozen=True, slots=True, eq=False)
class Prefilled:
    """Keys, values and next-token logits [prompts, vocabulary] of several left-padded prompts."""

    cache: SlotCache
    logits: Tensor


@dataclass(frozen=True, slots=True)
class Waiting:
    """A response not begun: the `sample`-th to prompt number `prompt`, which is a row of `source`."""

    source: Prefilled
    source_row: int
    prompt: int
    sample: int
    length: int
    """Tokens of the prompt."""


class PromptQueue:
    """Hands out n responses per prompt, the longest prompts first, prefilling no earlier than needed.

    Longest first keeps padding small, and a prompt then always fits left of the column that running
    responses, whose prompts were longer, have reached.
    """

    def __init__(
        self, prompts: Sequence[Sequence[int]], n: int, forward: Forward, device: torch.device, pad: int
    ) -> None:
        self.prompts, self.n = prompts, n
        self.forward, self.device, self.pad = forward, device, pad
        self.todo = deque(sorted(range(len(prompts)), key=lambda i: -len(prompts[i])))
        self.ready: deque[Waiting] = deque()
        self.prefilled_tokens = 0

    def __bool__(self) -> bool:
        return bool(self.ready or self.todo)

    def take(self, count: int) -> list[Waiting]:
        """The next `count` responses, fewer at the end."""
        missing = min(-(-(count - len(self.ready)) // self.n), len(self.todo))
        if missing > 0:
            self._prefill([self.todo.popleft() for _ in range(missing)])
        return [self.ready.popleft() for _ in range(min(count, len(self.ready)))]

    def _prefill(self, indices: list[int]) -> None:
        lengths = [len(self.prompts[i]) for i in indices]
        width = max(lengths)
        padded = [[self.pad] * (width - len(self.prompts[i])) + list(self.prompts[i]) for i in indices]
        tokens = torch.tensor(padded, device=self.device)
        columns = torch.arange(width, device=self.device)
        starts = torch.tensor([width - length for length in lengths], device=self.device)[:, None]
        mask = None if min(lengths) == width else columns >= starts
        cache = SlotCache(len(indices), width, rows=len(indices))
        logits = self.forward(tokens, (columns - starts).clamp(min=0), cache, mask)
        cache.extent.column = width
        self.prefilled_tokens += sum(lengths)
        source = Prefilled(cache, logits)
        for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            self.ready.extend(Waiting(source, row, index, sample, length) for sample in range(self.n))
