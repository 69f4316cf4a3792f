"""One `Experience` per response, of variable length, and the micro-batch built from several."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.data.prompt_layout import PromptLayout, lay_out

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
    `targets` [N], the response tokens in row order. `input_ids` is [1, tokens] with a `layout` that shares
    prompts; without one it is [B, S], padded on the right, where causal attention never sees padding.
    """

    input_ids: Tensor
    mask: Tensor
    positions: Tensor
    targets: Tensor
    layout: PromptLayout | None = None
    n_tokens: int = 0
    """Tokens that are forwarded, without padding."""

    def unflatten(self, values: Tensor) -> Tensor:
        """Per-token values [N] to [B, T], zero where there is no token."""
        padded = values.new_zeros(self.mask.shape)
        return padded.masked_scatter(self.mask, values)


def collate(
    experiences: Sequence[Experience], pad_token_id: int, device: torch.device, *, share_prompts: bool
) -> MicroBatch:
    """The micro-batch of some responses. None at all gives a token of padding and an empty mask.

    The last token of a response predicts nothing, so it is not forwarded. `share_prompts`: the model can take
    a `layout`; it gets one where that pays.
    """
    if not experiences:
        one, nothing = torch.full((1, 1), pad_token_id), torch.zeros(0, dtype=torch.long)
        return _on(device, one, torch.zeros(1, 1, dtype=torch.bool), nothing, nothing)
    mask = torch.zeros(len(experiences), max(len(e.response_ids) for e in experiences), dtype=torch.bool)
    for row, e in enumerate(experiences):
        mask[row, : len(e.response_ids)] = True
    targets = torch.tensor([token for e in experiences for token in e.response_ids])
    if share_prompts and (device.type == "cpu" or _saved_share(experiences) >= WORTH_SHARING):
        return _shared(experiences, mask, targets, device)
    width = max(len(e) for e in experiences) - 1
    input_ids = torch.full((len(experiences), width), pad_token_id)
    positions: list[int] = []
    for row, e in enumerate(experiences):
        input_ids[row, : len(e) - 1] = torch.tensor([*e.prompt_ids, *e.response_ids[:-1]])
        first = row * width + len(e.prompt_ids) - 1
        positions += range(first, first + len(e.response_ids))
    n_tokens = sum(len(e) - 1 for e in experiences)
    return _on(device, input_ids, mask, torch.tensor(positions), targets, None, n_tokens)


def _saved_share(experiences: Sequence[Experience]) -> float:
    """Share of the tokens that need no forward when each prompt has one."""
    prompts = {e.prompt_ids for e in experiences}
    repeated = sum(len(e.prompt_ids) for e in experiences) - sum(map(len, prompts))
    return repeated / sum(map(len, experiences))


def _shared(
    experiences: Sequence[Experience], mask: Tensor, targets: Tensor, device: torch.device
) -> MicroBatch:
    """Every distinct prompt once, then the responses."""
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(e.prompt_ids for e in experiences))}
    tokens = [token for prompt in rows for token in prompt]
    ends = {}
    end = 0
    for prompt in rows:
        end += len(prompt)
        ends[prompt] = end - 1
    positions: list[int] = []
    for e in experiences:
        positions.append(ends[e.prompt_ids])
        positions += range(len(tokens), len(tokens) + len(e.response_ids) - 1)
        tokens += e.response_ids[:-1]
    layout = lay_out(
        [len(prompt) for prompt in rows],
        [len(e.response_ids) - 1 for e in experiences],
        [rows[e.prompt_ids] for e in experiences],
        device,
    )
    return _on(device, torch.tensor([tokens]), mask, torch.tensor(positions), targets, layout, len(tokens))


def _on(
    device: torch.device,
    input_ids: Tensor,
    mask: Tensor,
    positions: Tensor,
    targets: Tensor,
    layout: PromptLayout | None = None,
    n_tokens: int = 0,
) -> MicroBatch:
    return MicroBatch(
        input_ids.to(device), mask.to(device), positions.to(device), targets.to(device), layout, n_tokens
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
