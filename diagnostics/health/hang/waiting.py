"""Who waits for whom, from the collectives that ranks have entered and not finished.

A rank in collective n of a group waits for the members that have not come to n. Whoever is waited for and
waits for nobody keeps all the others; ranks that are waited for and wait themselves are followers. No clock
is compared, since those of several machines differ.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from diagnostics.health.hang.dumps import Dump, Entry

_P2P = re.compile(r"(send|recv) (\d+)(?:->|<-)(\d+)")
_WORLD_GROUPS = ("0", "default_pg")


class Wait(msgspec.Struct, frozen=True):
    """`rank` has entered `entry`, and `missing` have not."""

    rank: int
    entry: Entry
    missing: tuple[int, ...]


class Groups:
    """Members and progress of each group, as far as the dumps tell."""

    def __init__(self, dumps: Mapping[int, Dump], silent: frozenset[int]) -> None:
        """`silent`: ranks that have no entry or no dump."""
        self.silent = silent
        self._told: dict[str, set[int]] = defaultdict(set)
        self._seen: dict[str, set[int]] = defaultdict(set)
        self._last: dict[tuple[str, int], int] = {}
        self._wrapped: dict[int, bool] = {}
        for rank, dump in dumps.items():
            for name, ranks in dump.groups.items():
                self._told[name].update(ranks)
            for entry in dump.entries:
                self._seen[entry.group].add(rank)
                key = (entry.group, rank)
                self._last[key] = max(self._last.get(key, 0), entry.collective_seq_id)
            # Once the ring is full its oldest entries are gone, unless only unfinished ones were dumped.
            self._wrapped[rank] = bool(
                dump.entries and dump.entries[0].record_id > 0 and any(e.done for e in dump.entries)
            )
        self._world = set(dumps) | silent

    def members(self, name: str) -> tuple[int, ...]:
        """Ranks of a group, in its order. Where no dump tells them, those that were seen in it."""
        if name in self._told:
            return tuple(sorted(self._told[name]))
        if name in _WORLD_GROUPS:
            return tuple(sorted(self._world))
        return tuple(sorted(self._seen[name]))

    def reached(self, rank: int, entry: Entry) -> bool:
        """Whether a rank has come to the collective that `entry` is."""
        last = self._last.get((entry.group, rank))
        if last is None:  # all of its entries in this group may have been overwritten
            return self._wrapped.get(rank, False)
        return last >= entry.collective_seq_id


def waits(dumps: Mapping[int, Dump], silent: frozenset[int]) -> list[Wait]:
    """What each rank waits in, and for whom: those first that somebody is missing from."""
    groups = Groups(dumps, silent)
    active = {rank: dump.active() for rank, dump in dumps.items()}
    offered = _offers(active, groups)
    found = []
    for rank, entries in active.items():
        pending: Counter[tuple[int, int]] = Counter()
        for entry in entries:
            if entry.is_p2p:
                pair = _pair(entry, groups)
                if pair is None:
                    continue
                pending[pair] += 1
                peer = pair[1] if pair[0] == rank else pair[0]
                other = offered.get((peer, pair), 0)
                found.append(Wait(rank, entry, (peer,) if other < pending[pair] else ()))
            else:
                members = groups.members(entry.group)
                missing = [m for m in members if m != rank and not groups.reached(m, entry)]
                found.append(Wait(rank, entry, tuple(missing)))
    return found


def keepers(found: list[Wait]) -> tuple[int, ...]:
    """The ranks that are waited for and wait for nobody."""
    waiters = {wait.rank for wait in found if wait.missing}
    wanted = {rank for wait in found for rank in wait.missing}
    return tuple(sorted(wanted - waiters))


def circle(found: list[Wait]) -> tuple[int, ...]:
    """Ranks that wait for each other, where no rank keeps the others: they took different paths."""
    wants: dict[int, set[int]] = defaultdict(set)
    for wait in found:
        wants[wait.rank].update(wait.missing)
    left = set(wants)
    while True:  # peel off ranks that nobody in the rest waits for
        wanted = {rank for one in left for rank in wants[one] if rank in left}
        if wanted == left:
            return tuple(sorted(left))
        left = wanted


def _pair(entry: Entry, groups: Groups) -> tuple[int, int] | None:
    """Sender and receiver, by their ranks in the world: the entry names their places in the group."""
    found = _P2P.search(entry.op)
    if not found:
        return None
    members = groups.members(entry.group)
    places = [int(found.group(2)), int(found.group(3))]
    if found.group(1) == "recv":
        places.reverse()
    if max(places) >= len(members):
        return None
    return members[places[0]], members[places[1]]


def _offers(active: Mapping[int, list[Entry]], groups: Groups) -> Counter[tuple[int, tuple[int, int]]]:
    """How many unfinished halves of each pair a rank holds."""
    offers: Counter[tuple[int, tuple[int, int]]] = Counter()
    for rank, entries in active.items():
        for entry in entries:
            if entry.is_p2p and (pair := _pair(entry, groups)):
                offers[rank, pair] += 1
    return offers
