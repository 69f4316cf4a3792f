"""Ranks that are in the same number of a group with different operations, sizes or types."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from diagnostics.health.hang.dumps import Dump, Entry

_SAME_SIZES = frozenset(
    ("all_reduce", "broadcast", "barrier", "reduce", "all_gather", "_all_gather_base", "_reduce_scatter_base")
)
"""Operations whose input has the same size on all ranks; that of an all_to_all has not."""


class Desync(msgspec.Struct, frozen=True):
    """Where ranks parted: the number in the group, what differs, and the entry of each rank."""

    group: str
    desc: str
    seq: int
    what: str
    """`operation`, `size` or `type`."""
    entries: dict[int, Entry]
    odd: tuple[int, ...]
    """The smaller side; all ranks where sides are of one size."""

    def sides(self) -> list[tuple[tuple[int, ...], Entry]]:
        """Ranks that did the same, with what they did; the smaller side first."""
        sides: dict[object, list[int]] = defaultdict(list)
        for rank, entry in self.entries.items():
            sides[_trait(entry, self.what)].append(rank)
        ordered = sorted(sides.values(), key=lambda ranks: (len(ranks), ranks))
        return [(tuple(sorted(ranks)), self.entries[ranks[0]]) for ranks in ordered]


def find(dumps: Mapping[int, Dump]) -> Desync | None:
    """The first number, in the group that was blocked first, at which an unfinished entry differs.

    Groups are compared in the order in which one rank entered them.
    """
    blocked: dict[tuple[str, int], int] = {}
    for dump in dumps.values():
        for entry in dump.active():
            if not entry.is_p2p:
                key = (entry.group, entry.collective_seq_id)
                blocked[key] = min(blocked.get(key, entry.record_id), entry.record_id)
    if not blocked:
        return None
    table: dict[tuple[str, int], dict[int, Entry]] = defaultdict(dict)
    for rank, dump in dumps.items():
        for entry in dump.entries:
            key = (entry.group, entry.collective_seq_id)
            if key in blocked and not entry.is_p2p:
                table[key].setdefault(rank, entry)
    for key in sorted(blocked, key=lambda key: (blocked[key], key[1])):
        for what in ("operation", "size", "type"):
            odd = _odd(table[key], what)
            if odd:
                desc = next(iter(table[key].values())).process_group[1]
                return Desync(key[0], desc, key[1], what, table[key], odd)
    return None


def _odd(entries: Mapping[int, Entry], what: str) -> tuple[int, ...]:
    sides: dict[object, list[int]] = defaultdict(list)
    for rank, entry in entries.items():
        sides[_trait(entry, what)].append(rank)
    if len(sides) < 2:
        return ()
    smallest = min(len(ranks) for ranks in sides.values())
    largest = max(len(ranks) for ranks in sides.values())
    return tuple(
        sorted(r for ranks in sides.values() if len(ranks) < largest or smallest == largest for r in ranks)
    )


def _trait(entry: Entry, what: str) -> object:
    if what == "operation":
        return entry.op
    if what == "type":
        return entry.input_dtypes
    if entry.op not in _SAME_SIZES:
        return None
    return entry.input_sizes
