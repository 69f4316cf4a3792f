"""One `Experience` per response, of variable length, and the padded micro-batch built from several."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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
    """Sequences padded on the right for one forward pass.

    `input_ids` [B, S]; `mask` [B, T] marks response tokens; `positions` [N] indexes the flattened [B·S]
    hidden states that predict the `targets` [N], the response tokens in row order. Because padding is on
    the right, causal attention never sees it and no attention mask is needed.
    """

    input_ids: Tensor
    mask: Tensor
    positions: Tensor
    targets: Tensor

    def unflatten(self, values: Tensor) -> Tensor:
        """Per-token values [N] to [B, T], zero where there is no token."""
        padded = values.new_zeros(self.mask.shape)
        return padded.masked_scatter(self.mask, values)


def collate(experiences: Sequence[Experience], pad_token_id: int, device: torch.device) -> MicroBatch:
    """Pad sequences on the right. No experience at all gives one row of padding with an empty mask."""
    width = max((len(e) for e in experiences), default=1)
    rows = max(len(experiences), 1)
    input_ids = torch.full((rows, width), pad_token_id)
    mask = torch.zeros(rows, max((len(e.response_ids) for e in experiences), default=1), dtype=torch.bool)
    positions: list[Tensor] = []
    for row, e in enumerate(experiences):
        tokens = torch.tensor([*e.prompt_ids, *e.response_ids])
        input_ids[row, : len(tokens)] = tokens
        mask[row, : len(e.response_ids)] = True
        first = row * width + len(e.prompt_ids) - 1
        positions.append(torch.arange(first, first + len(e.response_ids)))
    flat = torch.cat(positions) if positions else torch.zeros(0, dtype=torch.long)
    targets = input_ids.flatten()[flat + 1]
    return MicroBatch(*(t.to(device) for t in (input_ids, mask, flat, targets)))


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
