"""Which ranks work together: tensor-parallel engine replicas and sequence-parallel groups."""

from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True)
class RankGroup:
    """Neighbouring ranks. `group` is None where there is just this one."""

    name: str
    ranks: tuple[int, ...]
    rank: int
    """This process's place among `ranks`."""
    group: dist.ProcessGroup | None

    @property
    def size(self) -> int:
        return len(self.ranks)


def neighbours(name: str, size: int, rank: int, world_size: int) -> RankGroup:
    """The group of `size` consecutive ranks that `rank` is in. Collective: every rank makes all groups.

    `size` divides `world_size`.
    """
    starts = range(0, world_size, size)
    made: dict[int, dist.ProcessGroup | None] = {
        start: dist.new_group(list(range(start, start + size))) if size > 1 else None for start in starts
    }
    start = rank // size * size
    return RankGroup(name, tuple(range(start, start + size)), rank - start, made[start])
