"""Which ranks work together: tensor-parallel engine replicas and sequence-parallel groups."""

from dataclasses import dataclass
from datetime import timedelta

import torch.distributed as dist


@dataclass(frozen=True)
class RankGroup:
    """Neighbouring ranks. `group` is None where there is just this one."""

    name: str
    """What it is for, and its ranks: `tensor 0-1`."""
    ranks: tuple[int, ...]
    rank: int
    """This process's place among `ranks`."""
    group: dist.ProcessGroup | None

    @property
    def size(self) -> int:
        return len(self.ranks)


def neighbours(name: str, size: int, rank: int, world_size: int, timeout_s: int) -> RankGroup:
    """The group of `size` consecutive ranks that `rank` is in. Collective: every rank makes all groups.

    `size` divides `world_size`. `timeout_s`: how long its collectives wait for a rank.
    """
    timeout = timedelta(seconds=timeout_s)
    made: dict[int, dist.ProcessGroup | None] = {}
    for start in range(0, world_size, size):
        ranks = list(range(start, start + size))
        made[start] = dist.new_group(ranks, timeout=timeout) if size > 1 else None
    start = rank // size * size
    last = start + size - 1
    return RankGroup(f"{name} {start}-{last}", tuple(range(start, last + 1)), rank - start, made[start])
