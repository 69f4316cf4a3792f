"""The logs of a run as one text that can be walked through, searched and filtered: what the screen asks for.

Belongs to one thread. Commands are quick; what takes longer is done in slices by `work`.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rftui.tui.logs.files import LogFile
from rftui.tui.logs.folds import Folds
from rftui.tui.logs.lane import Lane
from rftui.tui.logs.page import Page, Row
from rftui.tui.logs.played import Played
from rftui.tui.logs.query import Filter, Query
from rftui.tui.logs.search import Search
from rftui.tui.logs.shelf import Shelf, Spot
from rftui.tui.logs.showing import page_of
from rftui.tui.logs.view import View
from rftui.tui.logs.walk import Line, Walk
from rftui.tui.text import clean_line


class LogBook(View):
    """`born`: when the run began, Unix time; lines that tell no time are placed from there on.

    `played`: the run is played again, and shown is what there was by then.
    """

    def __init__(self, folder: Path, born: float, played: Played | None = None) -> None:
        super().__init__(self._counted_lines)
        self.shelf = Shelf(folder, born, played)
        self.writer: str | None = None
        self.filter = Filter()
        self.query: Query | None = None
        self.search: Search | None = None
        self.note = ""
        self.folds = Folds()
        self._further: deque[bool] = deque()
        """Searches for the next match that wait for this one."""
        self._going: tuple[LogFile, int] | None = None
        self._refold = False
        self.look()

    def look(self) -> bool:
        """Notice files that came, grew, were cut or are gone; whether anything did."""
        at = self.spot()
        seen = self.shelf.look()
        for file in seen.cut:
            if file.written is not None:
                continue  # a replay was set back
            self.note = f"{file.path.name} was cut, replaced or removed"
            at = self.shelf.moved(at) if at and at[0] is file else at
        if seen.listed or [lane.file for lane in self.walk.lanes] != self.shelf.written_by(self.writer):
            self._relane(at)
        elif seen.grown:
            for lane in self.walk.lanes:
                lane.grow()
        return seen.listed or seen.grown

    def _relane(self, at: Spot | None) -> None:
        """Other files or another filter: the view stays at its line, or at its time."""
        same = {lane.file: lane for lane in self.walk.lanes if lane.wanted == self.filter}
        lanes = [same.get(f) or Lane(f, self.filter) for f in self.shelf.written_by(self.writer)]
        for lane in lanes:
            lane.grow()
        self.shelf.blocks.kept = max(48, 3 * len(lanes))
        self._fold(lanes)
        self.renew(Walk(lanes), at)
        self.search = None

    def _fold(self, lanes: Sequence[Lane]) -> None:
        self.folds.renew(self.shelf.tracebacks(lanes), lanes, open_first=self.filter.include is not None)

    def page(self) -> Page:
        """What is in sight."""
        return page_of(self)

    def whole(self, row: Row) -> str:
        """All of its line, without escape sequences, at most a megabyte."""
        file = self.shelf.files.get(Path(row.path))
        raw = file.whole_line(row.start) if file else b""
        return clean_line(raw.decode(errors="replace"), len(raw) + 1)

    # --- choosing --------------------------------------------------------------------------------------

    def choose(self, writer: str | None) -> None:
        """The lines of one writer, or of all."""
        at, self.writer = self.spot(), writer
        self._relane(at)

    def choose_next(self, further: int) -> None:
        """The next writer; past the last one all of them."""
        order = (None, *self.shelf.writers)
        at = order.index(self.writer) if self.writer in order else 0
        self.choose(order[(at + further) % len(order)])

    def filter_by(self, wanted: Filter) -> None:
        """Show only lines that pass."""
        at, self.filter = self.spot(), wanted
        self._relane(at)

    def toggle_collapse(self) -> None:
        """The same traceback of several ranks as one, or each."""
        self.folds.enabled = not self.folds.enabled
        self._fold(self.walk.lanes)

    def unfold(self, path: str, last: int) -> None:
        """Show more of a traceback that stands for several: one rank's, then all, then as before."""
        self.folds.next_of(path, last)
        self._fold(self.walk.lanes)

    def give_up(self, wanted: Query) -> None:
        """Do without what takes too long to look for."""
        if self.query == wanted:
            self.query = self.search = None
            self._further.clear()
        if wanted in (self.filter.include, self.filter.exclude):
            at, kept = (
                self.near(),
                [q if q != wanted else None for q in (self.filter.include, self.filter.exclude)],
            )
            self.filter = replace(self.filter, include=kept[0], exclude=kept[1])
            self._relane(at)
        self.note = f"{wanted.text} takes too long and was dropped: let it match in fewer ways"

    # --- searching -------------------------------------------------------------------------------------

    def find(self, wanted: Query | None) -> None:
        """Search; upwards while following, since what is sought lies above."""
        self.query, self.search, self.note = wanted, None, ""
        self._further.clear()
        if wanted is not None:
            self._begin_search(wanted, forward=not self.following, skip=False)

    def find_next(self, *, forward: bool) -> None:
        """The next match down, or up."""
        if self.search is not None:
            self._further.append(forward)
        elif self.query is not None:
            self._begin_search(self.query, forward=forward, skip=True)

    def cancel(self) -> bool:
        """End a search that is going on; whether there was one."""
        there = self.search is not None or self._going is not None
        if there:
            self.search, self._going, self.note = None, None, "search ended"
            self._further.clear()
        return there

    def show_line(self, path: Path, number: int) -> None:
        """Go to a line of a file by its number, from 1, also if that means to show what a filter hid."""
        file = self.shelf.find(path)
        if file is None:
            self.note = f"{path} is not among the logs of this run"
            return
        self._going, self.note = (file, number), ""

    def show_time(self, writer: str, naive: float) -> None:
        """What a writer wrote at that time."""
        if writer in self.shelf.writers:
            self.choose(writer)
        self.at_time(naive)

    def _begin_search(self, wanted: Query, *, forward: bool, skip: bool) -> None:
        self.search = Search(self.walk, wanted, self.search_from(skip=skip), forward=forward, skip=skip)

    # --- working ---------------------------------------------------------------------------------------

    def work(self, seconds: float) -> bool:
        """Search, count and filter for about that long; whether there was anything to do."""
        if self.search is not None:
            if self.search.advance(seconds):
                self._found(self.search)
            return True
        deadline = time.monotonic() + seconds
        worked = False
        while time.monotonic() < deadline:
            if not (self._arrive() or self._count() or any(lane.scan() for lane in self.walk.lanes)):
                break
            worked = True
        if self._refold:
            self._refold = False
            self._fold(self.walk.lanes)
        return worked

    def _found(self, search: Search) -> None:
        self.search = None
        if search.hit is None:
            self.note = f"{search.wanted.text} is in no line that is shown"
            return
        self._go_to(search.hit)
        edge = ("end, on from the beginning", "beginning, on from the end")[not search.forward]
        self.note = f"past the {edge}" if search.wrapped else ""
        if self._further:
            self._begin_search(search.wanted, forward=self._further.popleft(), skip=True)

    def _arrive(self) -> bool:
        """Go to the line that was asked for, once lines are counted that far."""
        if self._going is None:
            return False
        file, number = self._going
        index = self.shelf.index(file) if file.path in self.shelf.files else None
        start = index.offset(number) if index else None
        if start is None and index is not None and index.behind:
            self._refold |= index.advance()
            return True
        self._going = None
        if start is None or not file.size:
            self.note = f"{file.path.name} is empty"
            return True
        if self.writer not in (None, file.writer):
            self.choose(None)
        lane = [lane.file for lane in self.walk.lanes].index(file)
        if not self.walk.lanes[lane].passes(start):
            self.filter_by(Filter())
            self.note = "filters are off: they hid this line"
        self._go_to(Line(lane, start))
        return True

    def _go_to(self, line: Line) -> None:
        if self.folds.reveal(str(self.walk.lanes[line.lane].file.path), line.start):
            self._fold(self.walk.lanes)
        self._stand(self.walk.at_line(line))

    def _count(self) -> bool:
        """Look at more of a file; whether there was any."""
        for lane in self.walk.lanes:
            index = self.shelf.index(lane.file)
            if index.behind:
                self._refold |= index.advance()
                return True
        return False

    def _counted_lines(self) -> int | None:
        lanes = self.walk.lanes
        return None if self.shelf.behind(lanes) else self.shelf.lines(lanes)
