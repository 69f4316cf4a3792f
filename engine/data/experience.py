"""One `Experience` per response, of variable length, and the micro-batch built from several."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.prompt_layout import PromptLayout, lay_out, row_positions

WORTH_SHARING = 0.25
"""Accelerators are slower at attention with a mask than without; fewer tokens must pay for it."""


@dataclass(slots=True)
class Experience:
    """A response and what was learned about it. Tensors are 1-D over its response tokens, on the CPU."""

    prompt_ids: tuple[int, ...]
    response_ids: list[int]
    engine_logprobs: Tensor
    truncated: bool
    advantages: Tensor | None = None
    old_logprobs: Tensor | None = None
    ref_logprobs: Tensor | None = None

    def __len__(self) -> int:
        """Tokens of prompt and response together."""
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Token ids for one forward pass, and where its log-probabilities are.

    `mask` [B, T] marks response tokens; `positions` [N] indexes the flattened hidden states that predict the
    `targets` [N], the response tokens in row order. `input_ids` is [B, S], padded on the right, where causal
    attention never sees padding; or [1, tokens], one row without padding. Then `position_ids` [1, tokens] say
    where each token stands in its sequence, and `layout`, for models that take one, who sees whom; to others
    the restarting positions say it.
    """

    input_ids: Tensor
    mask: Tensor
    positions: Tensor
    targets: Tensor
    position_ids: Tensor | None = None
    layout: PromptLayout | None = None
    n_tokens: int = 0
    """Tokens that are forwarded, without padding."""

    def unflatten(self, values: Tensor) -> Tensor:
        """Per-token values [N] to [B, T], zero where there is no token."""
        padded = values.new_zeros(self.mask.shape)
        return padded.masked_scatter(self.mask, values)


def collate(
    experiences: Sequence[Experience],
    pad_token_id: int,
    device: torch.device,
    *,
    share_prompts: bool,
    pack: bool = False,
) -> MicroBatch:
    """The micro-batch of some responses. None at all gives a token of padding and an empty mask.

    The last token of a response predicts nothing, so it is not forwarded. `share_prompts`: the model can take
    a `layout`, and where that pays, each prompt is in it once. Else `pack` makes one row of all sequences.
    """
    mask = torch.zeros(
        max(1, len(experiences)), max((len(e.response_ids) for e in experiences), default=1), dtype=torch.bool
    )
    for row, e in enumerate(experiences):
        mask[row, : len(e.response_ids)] = True
    if not experiences:
        tokens = _Tokens(torch.full((1, 1), pad_token_id), torch.zeros(0, dtype=torch.long))
    elif share_prompts and _sharing_pays(experiences, device):
        tokens = _shared(experiences, device)
    elif pack:
        tokens = _packed(experiences, device, with_layout=share_prompts)
    else:
        tokens = _padded(experiences, pad_token_id)
    targets = torch.tensor([token for e in experiences for token in e.response_ids], dtype=torch.long)
    return MicroBatch(
        tokens.input_ids.to(device),
        mask.to(device),
        tokens.positions.to(device),
        targets.to(device),
        None if tokens.position_ids is None else tokens.position_ids.to(device),
        tokens.layout,
        tokens.count,
    )


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The part of a micro-batch that depends on how its tokens are arranged, on the CPU but for `layout`."""

    input_ids: Tensor
    positions: Tensor
    count: int = 0
    position_ids: Tensor | None = None
    layout: PromptLayout | None = None


def _sharing_pays(experiences: Sequence[Experience], device: torch.device) -> bool:
    prompts = {e.prompt_ids for e in experiences}
    repeated = sum(len(e.prompt_ids) for e in experiences) - sum(map(len, prompts))
    if device.type == "cpu":
        return repeated > 0
    return repeated / sum(map(len, experiences)) >= WORTH_SHARING


def _padded(experiences: Sequence[Experience], pad_token_id: int) -> _Tokens:
    """One row for each sequence."""
    width = max(len(e) for e in experiences) - 1
    input_ids = torch.full((len(experiences), width), pad_token_id)
    for row, e in enumerate(experiences):
        input_ids[row, : len(e) - 1] = torch.tensor(_forwarded(e))
    starts = range(0, width * len(experiences), width)
    return _Tokens(input_ids, _predicting(experiences, starts), sum(len(e) - 1 for e in experiences))


def _packed(experiences: Sequence[Experience], device: torch.device, *, with_layout: bool) -> _Tokens:
    """One sequence after another."""
    lengths = [len(e) - 1 for e in experiences]
    starts = [0, *itertools.accumulate(lengths)][:-1]
    return _Tokens(
        torch.tensor([[token for e in experiences for token in _forwarded(e)]]),
        _predicting(experiences, starts),
        sum(lengths),
        row_positions(lengths),
        lay_out(lengths, [], [], device) if with_layout else None,
    )


def _forwarded(e: Experience) -> list[int]:
    return [*e.prompt_ids, *e.response_ids[:-1]]


def _predicting(experiences: Sequence[Experience], starts: Iterable[int]) -> Tensor:
    """Where the tokens are that predict responses, if the sequences start at `starts`."""
    first = [start + len(e.prompt_ids) - 1 for e, start in zip(experiences, starts, strict=True)]
    return torch.cat(
        [torch.arange(len(e.response_ids)) + at for e, at in zip(experiences, first, strict=True)]
    )


def _shared(experiences: Sequence[Experience], device: torch.device) -> _Tokens:
    """Every distinct prompt once, then the responses."""
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(e.prompt_ids for e in experiences))}
    tokens = [token for prompt in rows for token in prompt]
    last = dict(zip(rows, (end - 1 for end in itertools.accumulate(map(len, rows))), strict=True))
    positions: list[int] = []
    for e in experiences:
        positions.append(last[e.prompt_ids])
        positions += range(len(tokens), len(tokens) + len(e.response_ids) - 1)
        tokens += e.response_ids[:-1]
    parts = (
        [len(prompt) for prompt in rows],
        [len(e.response_ids) - 1 for e in experiences],
        [rows[e.prompt_ids] for e in experiences],
    )
    return _Tokens(
        torch.tensor([tokens]),
        torch.tensor(positions),
        len(tokens),
        row_positions(*parts),
        lay_out(*parts, device),
    )


def pad_rows(rows: Sequence[Tensor], like: Tensor) -> Tensor:
    """1-D tensors to one [B, T] float tensor of the mask `like`, zero padded, on its device."""
    padded = torch.zeros(like.shape)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded.to(like.device)


def present(tensor: Tensor | None) -> Tensor:
    """A tensor that must have been filled in by now."""
    if tensor is None:
        raise ValueError("an experience lacks log-probabilities or advantages that its step needs")
    return tensor
