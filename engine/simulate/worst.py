"""The heaviest responses that a configuration allows, as one rank gets them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.config.batch import data_parallel, generate_max_len, responses_per_rollout
from engine.config.sections import RunConfig
from engine.data.experience import Experience

MICRO_BATCHES = 3
"""As many of a step are enough: one meets no gradients, one adds to them, the last reduces over replicas."""


@dataclass(frozen=True)
class Work:
    """Responses to score and to train on, by one rank. `micro_batches`: of a whole optimizer step."""

    scored: Sequence[Experience]
    trained: Sequence[Experience]
    micro_batches: int


def worst_work(config: RunConfig, world_size: int) -> Work:
    """Longest prompts and responses, in as many micro-batches as make a difference."""
    batch, rollout = config.batch, config.rollout
    response = max(1, min(generate_max_len(config), rollout.max_len - 1))
    prompt = max(1, min(rollout.prompt_max_len, rollout.max_len - response))
    in_group = max(1, batch.train_batch_size // data_parallel(config, world_size))
    sequences, length = batch.micro_train_batch_size, prompt
    if budget := batch.max_tokens_per_micro_batch:
        # Most responses are shorter prompts' too: those whose logits fill the budget are the worst.
        sequences = max(1, min(budget // (response + 1), in_group))
        length = max(1, min(prompt, budget // sequences - response))
    # Ranks that share sequences bring theirs together.
    own = -(-min(in_group, MICRO_BATCHES * sequences) // config.parallel.sp_size)
    sampled = max(1, responses_per_rollout(config) // data_parallel(config, world_size))
    scored = -(-min(sampled, 2 * batch.micro_rollout_batch_size) // config.parallel.sp_size)
    group = batch.n_samples_per_prompt
    return Work(
        _responses(scored, group, prompt, response),
        _responses(own, group, length, response),
        -(-in_group // sequences),
    )


def _responses(count: int, per_prompt: int, prompt: int, response: int) -> list[Experience]:
    return [
        Experience(
            prompt_ids=(i // per_prompt, *[1] * (prompt - 1)),
            response_ids=[1] * response,
            engine_logprobs=torch.zeros(response),
            truncated=False,
            advantages=torch.zeros(response),
        )
        for i in range(count)
    ]
