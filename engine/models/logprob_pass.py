"""Log-probabilities of finished responses without gradients: reference model, or policy at rollout time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.batching import agree_on_count, make_micro_batches
from engine.data.experience import Experience, collate
from engine.group_experiences import group_experiences
from engine.models.actor import Actor
from engine.strategy import Strategy


@torch.no_grad()
def compute_logprobs(
    actor: Actor,
    experiences: Sequence[Experience],
    strategy: Strategy,
    *,
    pad_token_id: int,
    micro_batch_size: int,
) -> list[Tensor]:
    """One 1-D CPU tensor per experience, over its response tokens. Collective.

    Ranks that share sequences forward the responses of all of them, `micro_batch_size` at a time.
    """
    experiences, own = group_experiences(experiences, strategy)
    batches = make_micro_batches(
        [len(e) for e in experiences], prompts_of(actor, experiences), max_sequences=micro_batch_size
    )
    result: list[Tensor] = [torch.empty(0)] * len(experiences)
    for indices in agree_on_count(batches, lambda n: int(strategy.all_reduce_number(n, "max"))):
        chosen = [experiences[i] for i in indices]
        batch = collate(
            chosen,
            pad_token_id,
            strategy.device,
            share_prompts=actor.shares_prompts,
            pack=actor.packs_rows,
        )
        logprobs, _ = actor(batch)
        lengths = [len(experiences[i].response_ids) for i in indices]
        for i, row in zip(indices, logprobs.cpu().split(lengths), strict=True):
            result[i] = row
    strategy.reshard(actor)
    return result[own]


def prompts_of(actor: Actor, experiences: Sequence[Experience]) -> list[tuple[int, ...]] | None:
    """What micro-batches should keep together: responses to one prompt, if `actor` forwards it only once."""
    return [e.prompt_ids for e in experiences] if actor.shares_prompts else None
