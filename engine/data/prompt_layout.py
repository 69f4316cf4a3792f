"""Where tokens stand in a micro-batch that is one row: prompts, and the responses that share them.

GRPO trains n responses to the same prompt. Forwarding the prompt n times is work done n times, so the tokens
of a micro-batch are laid out once: every distinct prompt, then every response, without padding. Sequences
that share nothing stand there whole, as prompts without responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Stretches:
    """The same for kernels that take stretches of any length: consecutive tokens, and the keys they see.

    Stretch s has the tokens `query_ends[s]` … `query_ends[s + 1]` and the keys `key_ends[s]` …
    `key_ends[s + 1]` (both int32 [S + 1]); its last token sees all its keys, each one before sees one less.
    `keys` [K] are indices into the N tokens, None where the keys are the tokens themselves.
    """

    keys: Tensor | None
    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int


@dataclass(frozen=True)
class PromptLayout:
    """Where the N tokens of G distinct prompts (up to P long) and B responses (up to T long) stand.

    `prompts` [G, P] and `responses` [B, T] are indices into the N tokens, 0 where there is none; `owner` [B]
    is each response's prompt; `restore` [N] finds each token among the G·P + B·T padded places. `lengths`, of
    prompts and of responses, stay on the CPU. What only some kernels read is made when it is first read.
    """

    prompts: Tensor
    responses: Tensor
    owner: Tensor
    restore: Tensor
    lengths: tuple[Tensor, Tensor]

    @property
    def n_tokens(self) -> int:
        return len(self.restore)

    @cached_property
    def mask(self) -> Tensor:
        """What response tokens may look at, [B, 1, T, P + T]: their prompt, and their response so far."""
        plen, rlen = self.lengths
        width, length = self.prompts.shape[1], self.responses.shape[1]
        device = self.owner.device
        prompt_mask = torch.arange(width, device=device) < plen.to(device)[self.owner, None]
        causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
        to_prompt = prompt_mask[:, None].expand(-1, length, -1)
        return torch.cat([to_prompt, causal.expand(len(rlen), -1, -1)], dim=-1)[:, None]

    @cached_property
    def stretches(self) -> Stretches:
        """The same for kernels that take stretches of any length."""
        return _stretches(*self.lengths, self.owner.cpu(), self.owner.device)


def lay_out(
    prompt_lengths: Sequence[int], response_lengths: Sequence[int], owner: Sequence[int], device: torch.device
) -> PromptLayout:
    """The layout of prompts followed by responses, `owner[b]` being the prompt of response b."""
    plen, rlen = torch.tensor(prompt_lengths), torch.tensor(response_lengths, dtype=torch.long)
    owners = torch.tensor(owner, dtype=torch.long)
    prompts, prompt_mask = _places(plen, start=0)
    responses, response_mask = _places(rlen, start=int(plen.sum()))
    restore = torch.cat([prompt_mask.flatten(), response_mask.flatten()]).nonzero().squeeze(1)
    return PromptLayout(
        prompts.to(device), responses.to(device), owners.to(device), restore.to(device), (plen, rlen)
    )


def row_positions(
    prompt_lengths: Sequence[int], response_lengths: Sequence[int] = (), owner: Sequence[int] = ()
) -> Tensor:
    """Position of every token [1, N] in its sequence, in the order of `lay_out`."""
    prompts = [torch.arange(length) for length in prompt_lengths]
    responses = [
        torch.arange(length) + prompt_lengths[own]
        for length, own in zip(response_lengths, owner, strict=True)
    ]
    return torch.cat(prompts + responses)[None]


def _places(lengths: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Indices [rows, longest] of rows of tokens standing one after another from `start`, and their mask."""
    columns = torch.arange(int(lengths.max()) if len(lengths) else 0)
    mask = columns < lengths[:, None]
    first = start + lengths.cumsum(0) - lengths
    return torch.where(mask, first[:, None] + columns, 0), mask


def _stretches(plen: Tensor, rlen: Tensor, owners: Tensor, device: torch.device) -> Stretches:
    owners, rlen = owners[rlen > 0], rlen[rlen > 0]
    queries, seen = torch.cat([plen, rlen]), torch.cat([plen, plen[owners] + rlen])
    keys = None
    if len(rlen):
        prompts, prompt_mask = _places(plen, start=0)
        responses, response_mask = _places(rlen, start=int(plen.sum()))
        of_responses = torch.cat([prompts[owners], responses], dim=1)
        there = torch.cat([prompt_mask[owners], response_mask], dim=1)
        keys = torch.cat([prompts[prompt_mask], of_responses[there]]).to(device)
    return Stretches(
        keys, _ends(queries).to(device), _ends(seen).to(device), int(queries.max()), int(seen.max())
    )


def _ends(lengths: Tensor) -> Tensor:
    """Where stretches standing one after another begin and end, int32 [S + 1]."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).int()


def take(rows: Tensor, index: Tensor) -> Tensor:
    """`rows[index]` whose backward pass adds repeated rows in a fixed order: a resumed run must be bit-exact.

    Of the two ways torch has, each is deterministic on one kind of device only.
    """
    return rows[index] if rows.is_cuda else rows.index_select(0, index)
