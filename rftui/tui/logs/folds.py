"""Which tracebacks stand for several, and how much of each is shown."""

from collections.abc import Iterable, Sequence
from typing import Literal

from rftui.tui.logs.lane import Lane, spans
from rftui.tui.logs.tracebacks import Same, Traceback, same

State = Literal[0, 1, 2]
"""0: the line with the exception; 1: the first writer's traceback; 2: everyone's."""


class Folds:
    """States of tracebacks that several writers have."""

    def __init__(self) -> None:
        self.enabled = True
        self.same: list[Same] = []
        self._states: dict[tuple[str, int], State] = {}
        self._ends: dict[tuple[str, int], Same] = {}
        self._open_first = False

    def renew(self, found: Iterable[Traceback], lanes: Sequence[Lane], *, open_first: bool) -> None:
        """Fold lanes by what is known now.

        `open_first`: the first writer's tracebacks are whole, since a filter looks for their lines.
        """
        found = list(found)
        number = {lane.file.path: at for at, lane in enumerate(lanes)}
        self._open_first = open_first
        self.same = same(found, lambda t: (t.time, number[t.file.path])) if self.enabled else []
        self._ends = {(str(each.members[0].file.path), each.members[0].last): each for each in self.same}
        hidden: dict[int, list[tuple[int, int]]] = {at: [] for at in range(len(lanes))}
        for each in self.same:
            state = self._state(each)
            first, *others = each.members
            if state == 0:
                hidden[number[first.file.path]].append((first.start, first.last))
            if state < 2:
                for other in others:
                    hidden[number[other.file.path]].append((other.start, other.end))
        for at, lane in enumerate(lanes):
            errors = spans((t.start, t.end) for t in found if t.file is lane.file)
            lane.mark(errors, spans(hidden[at]))

    def ending_at(self, path: str, last: int) -> Same | None:
        """The tracebacks that are shown as the one whose exception stands on that line."""
        return self._ends.get((path, last))

    def is_folded(self, each: Same) -> bool:
        """Whether anything of it is hidden."""
        return self._state(each) < 2

    def next_of(self, path: str, last: int) -> None:
        """Show more of it, or as little as possible again."""
        each = self.ending_at(path, last)
        if each is not None:
            least: State = 1 if self._open_first else 0
            state = self._state(each)
            self._states[each.key] = least if state == 2 else 2 if state == 1 else 1

    def reveal(self, path: str, start: int) -> bool:
        """Show what hides a line; whether anything did."""
        for each in self.same:
            for place, member in enumerate(each.members):
                if str(member.file.path) == path and member.start <= start < member.end:
                    needed: State = 2 if place else 0 if start == member.last else 1
                    if self._state(each) < needed:
                        self._states[each.key] = needed
                        return True
        return False

    def _state(self, each: Same) -> State:
        state = self._states.get(each.key, 0)
        return 1 if state == 0 and self._open_first else state
