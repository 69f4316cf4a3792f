"""Sequence parallelism: several ranks forward the same micro-batch, each a slice of its tokens.

Everything but attention works on single tokens. Around attention an all-to-all gives each rank all tokens of
some heads instead of some tokens of all heads, and back (DeepSpeed-Ulysses, arXiv 2309.14509).

All ranks of a group compute the same loss of all log-probabilities. Each lets through the gradient of those
that its own tokens predict, so the gradients of a group add up to that of one loss.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from engine.data.experience import MicroBatch

if TYPE_CHECKING:  # strategies know models, so models cannot import them
    from engine.strategy.groups import RankGroup


class SequenceParallel:
    """What a rank does with the tokens of a micro-batch that `group`, of more than one rank, shares."""

    def __init__(self, group: "RankGroup") -> None:
        self.group = group

    def slice_of(self, batch: MicroBatch) -> tuple[MicroBatch, Tensor]:
        """This rank's tokens of a row, and the indices [n] of the targets that they predict.

        The row is filled up to a multiple of the group's size with tokens that nobody attends to.
        """
        length = math.ceil(batch.input_ids.shape[1] / self.group.size)
        first = self.group.rank * length

        def own(row: Tensor | None) -> Tensor:
            assert row is not None
            filled = F.pad(row, (0, length * self.group.size - row.shape[1]))
            return filled[:, first : first + length]

        mine = ((batch.positions >= first) & (batch.positions < first + length)).nonzero().squeeze(1)
        part = replace(
            batch,
            input_ids=own(batch.input_ids),
            position_ids=own(batch.position_ids),
            positions=batch.positions[mine] - first,
            targets=batch.targets[mine],
        )
        return part, mine

    def whole(self, values: Tensor, mine: Tensor, n_targets: int) -> Tensor:
        """Values of all targets [N] from this rank's, which are at `mine`."""
        return _Sum.apply(values.new_zeros(n_targets).index_copy(0, mine, values), self.group.group)

    def to_heads(
        self, query: Tensor, key: Tensor, value: Tensor, n_tokens: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[1, heads, N / ranks, D] → [1, heads / ranks, `n_tokens`, D], in one exchange.

        Key and value heads are repeated where there are not enough to go round.
        """
        size, kv_heads = self.group.size, key.shape[1]
        repeats = math.lcm(kv_heads, size) // kv_heads
        if repeats > 1:
            key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
        parts = [t[0].unflatten(0, (size, -1)) for t in (query, key, value)]
        by_token = _Exchange.apply(torch.cat(parts, dim=1), self.group.group)  # [ranks, heads, tokens, D]
        by_head = by_token.transpose(0, 1).flatten(1, 2)[None, :, :n_tokens]
        query, key, value = by_head.split([part.shape[1] for part in parts], dim=1)
        return query, key, value

    def to_tokens(self, output: Tensor) -> Tensor:
        """[1, N, heads / ranks, D] → [1, N / ranks, heads, D], N rounded up as in `slice_of`."""
        size = self.group.size
        filled = F.pad(output[0], (0, 0, 0, 0, 0, -output.shape[1] % size))
        by_rank = _Exchange.apply(filled.unflatten(0, (size, -1)), self.group.group)
        return by_rank.transpose(0, 1).flatten(1, 2)[None]


class _Exchange(torch.autograd.Function):
    """[ranks, …]: part r goes to rank r, and part r of the result comes from rank r."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        received = torch.empty(parts.shape, dtype=parts.dtype, device=parts.device)
        dist.all_to_all_single(received, parts.contiguous(), group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return _Exchange.apply(gradient, ctx.group), None


class _Sum(torch.autograd.Function):
    """The sum over ranks. Backward is the identity: every rank has the gradient of the one loss already."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient, None
