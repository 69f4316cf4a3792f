"""Which responses a rank works on, where several ranks share each sequence."""

from collections.abc import Sequence

from engine.data.experience import Experience
from engine.strategy.base import Strategy


def group_experiences(
    experiences: Sequence[Experience], strategy: Strategy
) -> tuple[list[Experience], slice]:
    """The responses of all ranks that share sequences, and where among them this rank's own are. Collective.

    The own ones are the same objects, so what is written into them stays.
    """
    group = strategy.sequence_group
    if group.size == 1:
        return list(experiences), slice(None)
    parts = strategy.all_gather_objects(list(experiences), group.group, group.name)
    parts[group.rank] = experiences
    first = sum(map(len, parts[: group.rank]))
    return [e for part in parts for e in part], slice(first, first + len(experiences))
