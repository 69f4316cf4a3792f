"""Brings tensors that only rank 0 has to all ranks, one by one."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


@torch.no_grad()
def fill_from_rank_0(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Move `tensors` to `device` and give them rank 0's values, also where they are on the meta device.

    They stay the objects they are, so tied parameters stay tied. Collective: the same order on all ranks.
    """
    for tensor in tensors:
        if tensor.is_meta:
            _make_real(tensor, device)
        else:
            tensor.data = tensor.data.to(device)
        dist.broadcast(tensor.data, src=0)


def _make_real(tensor: Tensor, device: torch.device) -> None:
    real = torch.empty_like(tensor, device=device)
    if isinstance(tensor, nn.Parameter):
        real = nn.Parameter(real, requires_grad=tensor.requires_grad)
    torch.utils.swap_tensors(tensor, real)
