"""Prompts in, scored experiences out: generation and rewards, on the rank that owns the prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.data.experience import Experience
from engine.data.types import Prompt
from engine.rewards.base import Scorer, Scores
from engine.rollout.base import SamplingParams
from engine.strategy import Strategy


@dataclass(frozen=True)
class Rollout:
    """This rank's share of one rollout: G prompts, n responses each, group after group.

    `rewards` [G, n] are the scorer's totals, before any shaping.
    """

    prompts: list[Prompt]
    experiences: list[Experience]
    responses: list[str]
    scores: Scores
    rewards: Tensor

    @property
    def lengths(self) -> Tensor:
        """Response tokens [G, n]."""
        return torch.tensor([len(e.response_ids) for e in self.experiences]).view_as(self.rewards)


class ExperienceMaker:
    """Generates and scores. The same object serves training and evaluation, with their own sampling."""

    def __init__(self, strategy: Strategy, tokenizer: Any, scorer: Scorer) -> None:
        self.strategy = strategy
        self.tokenizer = tokenizer
        self.scorer = scorer

    def generate(
        self,
        prompts: Sequence[Prompt],
        params: SamplingParams,
        generator: torch.Generator,
        *,
        sleep_engine: bool = True,
    ) -> list[Experience]:
        """`params.n` responses for each prompt, group after group; then the engine may sleep."""
        groups = self.strategy.gather_and_generate(
            [p.token_ids for p in prompts], params, generator, sleep_engine=sleep_engine
        )
        return [
            Experience(
                prompt_ids=prompt.token_ids,
                response_ids=completion.token_ids,
                engine_logprobs=torch.tensor(completion.logprobs, dtype=torch.float32),
                truncated=completion.truncated,
            )
            for prompt, group in zip(prompts, groups, strict=True)
            for completion in group
        ]

    def score(self, prompts: Sequence[Prompt], experiences: list[Experience], n: int) -> Rollout:
        """Decode and score responses; `experiences` holds n for each prompt, and may be empty."""
        # One by one, because `batch_decode([])` of transformers 5 is one empty text.
        responses = [self.tokenizer.decode(e.response_ids, skip_special_tokens=True) for e in experiences]
        owners = [prompt for prompt in prompts for _ in range(n)]
        scores = self.scorer.score(
            responses,
            [p.label for p in owners],
            [p.text for p in owners],
            [p.reference for p in owners],
        )
        rewards = torch.tensor(scores.total, dtype=torch.float32).view(len(prompts), n)
        return Rollout(list(prompts), experiences, responses, scores, rewards)
