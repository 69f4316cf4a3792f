"""Whole tensors of sharded ones, one by one or bucket by bucket."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

Named = tuple[str, Tensor]


def whole(tensor: Tensor) -> Tensor:
    """The full tensor, gathered on the device of its mesh, where the process group works; any other as it is.

    Collective for sharded tensors.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    return cast(DTensor, tensor.to(tensor.device_mesh.device_type)).full_tensor()


def buckets(named: Iterable[Named], max_bytes: int, dtype: torch.dtype | None) -> Iterator[list[Named]]:
    """Consecutive tensors that hold at most `max_bytes` together, counted in `dtype`.

    A larger tensor makes a bucket by itself.
    """
    bucket: list[Named] = []
    held = 0
    for name, tensor in named:
        size = tensor.numel() * (dtype or tensor.dtype).itemsize
        if bucket and held + size > max_bytes:
            yield bucket
            bucket, held = [], 0
        bucket.append((name, tensor))
        held += size
    if bucket:
        yield bucket


def whole_in_buckets(
    named: Iterable[Named], *, max_bytes: int, dtype: torch.dtype | None = None
) -> Iterator[Named]:
    """Whole tensors under their names, in order; sharded ones are gathered with one collective per bucket.

    `dtype`: what floating-point shards are cast to before they travel; None keeps theirs. Tensors that are
    not sharded come as they are. At most a bucket of whole tensors exists at a time; walk it on all ranks.
    """
    for bucket in buckets(named, max_bytes, dtype):
        sharded = {name: t for name, t in bucket if isinstance(t, DTensor) and _shard_dim(t) is not None}
        parts = _gather(sharded, dtype)
        for name, tensor in bucket:
            yield name, _assembled(parts.pop(name), tensor) if name in parts else whole(tensor)


def _gather(sharded: dict[str, DTensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The shards [ranks, …] of a bucket's tensors, with one all-gather for each dtype and mesh in it."""
    result: dict[str, Tensor] = {}
    alike: dict[tuple[object, ...], dict[str, DTensor]] = {}
    for name, tensor in sharded.items():
        kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        alike.setdefault((kind, tensor.device_mesh, _shard_dim(tensor)), {})[name] = tensor
    for (travels_as, _, mesh_dim), tensors in alike.items():
        assert isinstance(travels_as, torch.dtype) and isinstance(mesh_dim, int)
        result |= _gather_alike(tensors, travels_as, mesh_dim)
    return result


def _gather_alike(tensors: dict[str, DTensor], dtype: torch.dtype, mesh_dim: int) -> dict[str, Tensor]:
    mesh = next(iter(tensors.values())).device_mesh
    ranks = mesh.size(mesh_dim)
    rows = {name: -(-tensor.shape[0] // ranks) for name, tensor in tensors.items()}  # as torch.chunk deals
    pieces = {name: rows[name] * tensor.shape[1:].numel() for name, tensor in tensors.items()}
    local = torch.zeros(sum(pieces.values()), dtype=dtype, device=mesh.device_type)
    at = 0
    for name, tensor in tensors.items():
        shard = tensor.to_local()
        local[at : at + shard.numel()].copy_(shard.flatten())
        at += pieces[name]
    everyone = torch.empty(ranks, len(local), dtype=dtype, device=local.device)
    dist.all_gather_into_tensor(everyone.flatten(), local, group=mesh.get_group(mesh_dim))
    return dict(zip(tensors, everyone.split(list(pieces.values()), dim=1), strict=True))


def _assembled(shards: Tensor, tensor: Tensor) -> Tensor:
    """One tensor of its shards, without the rows that only filled up the last ones."""
    return shards.reshape(-1, *tensor.shape[1:])[: tensor.shape[0]]


def _shard_dim(tensor: DTensor) -> int | None:
    """The mesh dimension over which dimension 0 is sharded, all others being replicated; None otherwise."""
    sharded = [i for i, placement in enumerate(tensor.placements) if placement.is_shard()]
    if len(sharded) != 1 or tensor.placements[sharded[0]] != Shard(0):
        return None
    return sharded[0]
