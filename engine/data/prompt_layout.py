"""Where tokens stand in a micro-batch in which the responses of a group share one copy of their prompt.

GRPO trains n responses to the same prompt. Forwarding the prompt n times is work done n times, so the tokens
of a micro-batch are laid out once: every distinct prompt, then every response, without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PromptLayout:
    """Where the tokens of G distinct prompts (up to P long) and B responses (up to T long) stand.

    `position_ids` [1, N]; `prompts` [G, P] and `responses` [B, T] are indices into the N tokens, 0 where
    there is none; `owner` [B] is each response's prompt; `mask` [B, 1, T, P + T] is what response tokens may
    look at; `restore` [N] finds each token among the G·P + B·T padded places.
    """

    position_ids: Tensor
    prompts: Tensor
    responses: Tensor
    owner: Tensor
    mask: Tensor
    restore: Tensor


def lay_out(
    prompt_lengths: Sequence[int], response_lengths: Sequence[int], owner: Sequence[int], device: torch.device
) -> PromptLayout:
    """The layout of prompts followed by responses, `owner[b]` being the prompt of response b."""
    plen, rlen = torch.tensor(prompt_lengths), torch.tensor(response_lengths, dtype=torch.long)
    owners = torch.tensor(owner, dtype=torch.long)
    prompts, prompt_mask = _places(plen, start=0)
    responses, response_mask = _places(rlen, start=int(plen.sum()))
    width, length = prompt_mask.shape[1], response_mask.shape[1]
    position_ids = torch.cat(
        [
            torch.arange(width).expand_as(prompts)[prompt_mask],
            (torch.arange(length) + plen[owners, None])[response_mask],
        ]
    )
    causal = torch.ones(length, length, dtype=torch.bool).tril().expand(len(rlen), -1, -1)
    to_prompt = prompt_mask[owners][:, None].expand(-1, length, -1)
    restore = torch.cat([prompt_mask.flatten(), response_mask.flatten()]).nonzero().squeeze(1)
    parts = (
        position_ids[None],
        prompts,
        responses,
        owners,
        torch.cat([to_prompt, causal], dim=-1)[:, None],
        restore,
    )
    return PromptLayout(*(part.to(device) for part in parts))


def _places(lengths: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Indices [rows, longest] of rows of tokens standing one after another from `start`, and their mask."""
    columns = torch.arange(int(lengths.max()) if len(lengths) else 0)
    mask = columns < lengths[:, None]
    first = start + lengths.cumsum(0) - lengths
    return torch.where(mask, first[:, None] + columns, 0), mask


def take(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[index]` whose backward pass adds repeated rows in a fixed order: a resumed run must be bit-exact.

    Of the two ways torch has, each is deterministic on one kind of device only.
    """
    return rows[index] if rows.is_cuda else rows.index_select(0, index)
