"""The logs of a run as one text that can be walked through, searched and filtered: what the screen asks for.

Belongs to one thread. Commands are quick; what takes longer is done in slices by `work`.
"""

import time
from collections import deque
from pathlib import Path

from rftui.tui.logs.files import Blocks, LogFile
from rftui.tui.logs.folds import Folds
from rftui.tui.logs.index import Index
from rftui.tui.logs.listing import log_files
from rftui.tui.logs.page import Page, Row
from rftui.tui.logs.query import Filter, Query
from rftui.tui.logs.search import Search
from rftui.tui.logs.stamps import level_of
from rftui.tui.logs.walk import UNKNOWN, Lane, Line, Place, Walk
from rftui.tui.text import clean_line

LIST_EVERY_S = 1.0


class LogBook:
    """`born`: when the run began, Unix time; lines that tell no time are placed from there on."""

    def __init__(self, folder: Path, born: float) -> None:
        self.folder = folder
        self.height = 24
        self.following = True
        self.writer: str | None = None
        self.filter = Filter()
        self.query: Query | None = None
        self.note = ""
        self.folds = Folds()
        self.walk = Walk(())
        self._born = born
        self._files: dict[Path, LogFile] = {}
        self._indexes: dict[Path, Index] = {}
        self._blocks = Blocks()
        self._listed = float("-inf")
        self._missing = ""
        self._place = Place(())
        self._row = 0
        """Of the screen, where the line at the place stands."""
        self._held: int | None = None
        """Lines there were when it stopped following."""
        self._search: Search | None = None
        self._further: deque[bool] = deque()
        """Searches for the next match that wait for this one."""
        self._going: tuple[LogFile, int] | None = None
        self._refold = False
        self.look()

    # --- files -----------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Notice files that came, grew, were cut or are gone; whether anything did."""
        listed = time.monotonic() - self._listed >= LIST_EVERY_S and self._list()
        grown, at = False, self._at()
        for file in list(self._files.values()):
            generation = file.generation
            grown = file.look() or grown
            if file.generation > max(generation, 1):
                self.note = f"{file.path.name} was cut, replaced or removed"
                listed = self._list() or listed
                at = self._moved(at) if at and at[0] is file else at
        if listed or [lane.file for lane in self.walk.lanes] != self._chosen():
            self._relane(at)
        elif grown:
            for lane in self.walk.lanes:
                lane.grow()
        return listed or grown

    def _moved(self, at: tuple[LogFile, int]) -> tuple[LogFile, int]:
        """Where a line is after its log was cut: in the older part, if it was kept."""
        older = self._files.get(at[0].path.with_name(f"{at[0].path.name}.1"))
        if older is None:
            return at
        older.look()
        return (older, at[1]) if older.size > at[1] else at

    def _list(self) -> bool:
        self._listed = time.monotonic()
        before, missing = list(self._files), self._missing
        try:
            found = log_files(self.folder, self._born, self._blocks)
            self._missing = ""
        except OSError as error:
            found = []
            self._missing = f"{self.folder} cannot be read: {error.strerror or error}"
        self._files = {file.path: self._files.get(file.path, file) for file in found}
        self._indexes = {path: self._indexes.get(path) or Index(file) for path, file in self._files.items()}
        return list(self._files) != before or missing != self._missing

    def _chosen(self) -> list[LogFile]:
        return [f for f in self._files.values() if f.size and self.writer in (None, f.writer)]

    def _at(self) -> tuple[LogFile, int] | None:
        """The line under the cursor, by its file."""
        line = None if self.following else self._line()
        return (self.walk.lanes[line.lane].file, line.start) if line else None

    def _relane(self, at: tuple[LogFile, int] | None) -> None:
        """Other files or another filter: the view stays at its line, or at its time."""
        same = {lane.file: lane for lane in self.walk.lanes if lane.wanted == self.filter}
        self.walk = Walk([same.get(file) or Lane(file, self.filter) for file in self._chosen()])
        for lane in self.walk.lanes:
            lane.grow()
        self._blocks.kept = max(48, 3 * len(self.walk.lanes))
        self._fold()
        self._place = self.walk.end
        if at is not None:
            files = [lane.file for lane in self.walk.lanes]
            if at[0] in files:
                self._place = self.walk.at_line(Line(files.index(at[0]), at[1]))
            else:
                self._place = self.walk.at_time(at[0].time_at(at[1]))
            self._place = self._at_a_line(self._place)
        self._search = None

    def _fold(self) -> None:
        found = [t for lane in self.walk.lanes for t in self._indexes[lane.file.path].tracebacks.values()]
        self.folds.renew(found, self.walk.lanes, open_first=self.filter.include is not None)

    # --- moving ----------------------------------------------------------------------------------------

    def resize(self, height: int) -> None:
        """So many lines are in sight."""
        self.height = max(1, height)
        self._row = min(self._row, self.height - 1)

    def move(self, lines: int) -> None:
        """The cursor so many lines on, or back."""
        self._hold()
        if lines < 0:
            passed, self._place = self.walk.backward(self._place, -lines)
            self._row = max(0, self._row - len(passed))
            return
        passed, place = self.walk.forward(self._place, lines)
        moved = len(passed)
        if not self.walk.forward(place, 1)[0]:
            place = self.walk.backward(place, 1)[1]
            moved -= 1
        self._place = place
        self._row = min(self.height - 1, self._row + max(0, moved))

    def scroll(self, lines: int) -> None:
        """The text so many lines up, or down (negative); the cursor keeps its line while that is in sight."""
        self._hold()
        row = self._row - lines
        if row < 0:
            self._row = 0
            self.move(-row)
            self._row = 0
        elif row >= self.height:
            self._row = self.height - 1
            self.move(self.height - 1 - row)
            self._row = self.height - 1
        else:
            self._row = row

    def page_by(self, pages: int) -> None:
        """A screen on, or back."""
        self._hold()
        row = self._row
        self.move(pages * max(1, self.height - 1))
        self._row = row

    def select(self, row: int) -> None:
        """The cursor to a row of the screen."""
        page = self.page()
        if 0 <= row < len(page.rows):
            self._hold()
            self._row = page.cursor
            self.move(row - page.cursor)

    def begin(self) -> None:
        """The first line."""
        self._hold()
        self._place, self._row = self.walk.begin, 0

    def follow(self) -> None:
        """The last line, and those that come."""
        self.following = True

    def hold(self) -> None:
        """Stay where it is, or follow again."""
        if self.following:
            self._hold()
        else:
            self.follow()

    def at_share(self, share: float) -> None:
        """As far down as a share of the bytes."""
        self._stand(self.walk.at_share(share))

    def at_time(self, naive: float) -> None:
        """The first line of that time or later, seconds of the local clock since 1970."""
        self._stand(self.walk.at_time(naive))

    @property
    def now(self) -> float:
        """Naive time of the line under the cursor; 0 where there is none."""
        line = self._line()
        return self.walk.lanes[line.lane].file.time_at(line.start) if line else 0.0

    def _stand(self, place: Place) -> None:
        self._hold()
        self._place, self._row = self._at_a_line(place), self.height // 3

    def _at_a_line(self, place: Place) -> Place:
        """That place; the last line where nothing follows."""
        return place if self.walk.forward(place, 1)[0] else self.walk.backward(self.walk.end, 1)[1]

    def _hold(self) -> None:
        if self.following:
            self.following = False
            self._place = self.walk.backward(self.walk.end, 1)[1]
            self._row = self.height - 1
            self._held = None if self._behind() else self._lines()

    def _line(self) -> Line | None:
        """The line under the cursor."""
        if self.following:
            return next(iter(self.walk.backward(self.walk.end, 1)[0]), None)
        lines = self.walk.forward(self._place, 1)[0] or self.walk.backward(self._place, 1)[0]
        return lines[0] if lines else None

    # --- choosing --------------------------------------------------------------------------------------

    @property
    def writers(self) -> tuple[str, ...]:
        """Everyone who has a log, also an empty one."""
        return tuple(dict.fromkeys(file.writer for file in self._files.values()))

    def choose(self, writer: str | None) -> None:
        """The lines of one writer, or of all."""
        at, self.writer = self._at(), writer
        self._relane(at)

    def choose_next(self, further: int) -> None:
        """The next writer; past the last one all of them."""
        order = (None, *self.writers)
        at = order.index(self.writer) if self.writer in order else 0
        self.choose(order[(at + further) % len(order)])

    def filter_by(self, wanted: Filter) -> None:
        """Show only lines that pass."""
        at, self.filter = self._at(), wanted
        self._relane(at)

    def toggle_collapse(self) -> None:
        """The same traceback of several ranks as one, or each."""
        self.folds.enabled = not self.folds.enabled
        self._fold()

    def unfold(self, path: str, last: int) -> None:
        """Show more of a traceback that stands for several: one rank's, then all, then as before."""
        self.folds.next_of(path, last)
        self._fold()

    # --- searching -------------------------------------------------------------------------------------

    def find(self, wanted: Query | None) -> None:
        """Search; upwards while following, since what is sought lies above."""
        self.query, self._search, self.note = wanted, None, ""
        self._further.clear()
        if wanted is not None:
            self._begin_search(forward=not self.following, skip=False)

    def find_next(self, *, forward: bool) -> None:
        """The next match down, or up."""
        if self._search is not None:
            self._further.append(forward)
        elif self.query is not None:
            self._begin_search(forward=forward, skip=True)

    def cancel(self) -> bool:
        """End a search that is going on; whether there was one."""
        there = self._search is not None or self._going is not None
        if there:
            self._search, self._going, self.note = None, None, "search ended"
            self._further.clear()
        return there

    def show_line(self, path: Path, number: int) -> None:
        """Go to a line of a file by its number, from 1, also if that means to show what a filter hid."""
        file = self._file(path)
        if file is None:
            self.note = f"{path} is not among the logs of this run"
            return
        self._going, self.note = (file, number), ""

    def show_time(self, writer: str, naive: float) -> None:
        """What a writer wrote at that time."""
        if writer in self.writers:
            self.choose(writer)
        self.at_time(naive)

    def _begin_search(self, *, forward: bool, skip: bool) -> None:
        assert self.query is not None
        if self.following:
            place = self.walk.backward(self.walk.end, 1)[1] if skip else self.walk.end
        else:
            place = self._place
            if place.first < 0 and (line := self._line()):
                place = Place(place.offsets, line.lane)
        self._search = Search(self.walk, self.query, place, forward=forward, skip=skip)

    def whole(self, row: Row) -> str:
        """All of its line, without escape sequences, at most a megabyte."""
        file = self._files.get(Path(row.path))
        raw = file.whole_line(row.start) if file else b""
        return clean_line(raw.decode(errors="replace"), len(raw) + 1)

    def _file(self, path: Path) -> LogFile | None:
        """The log at that path, or the only one whose path ends like it."""
        wanted = path.absolute()
        for known, file in self._files.items():
            if known.absolute() == wanted:
                return file
        alike = [file for known, file in self._files.items() if known.parts[-len(path.parts) :] == path.parts]
        return alike[0] if len(alike) == 1 else None

    # --- working ---------------------------------------------------------------------------------------

    def work(self, seconds: float) -> bool:
        """Search, count and filter for about that long; whether there was anything to do."""
        if self._search is not None:
            if self._search.advance(seconds):
                self._found(self._search)
            return True
        deadline = time.monotonic() + seconds
        worked = False
        while time.monotonic() < deadline:
            if not (self._arrive() or self._count() or any(lane.scan() for lane in self.walk.lanes)):
                break
            worked = True
        if self._refold:
            self._refold = False
            self._fold()
        return worked

    def _found(self, search: Search) -> None:
        self._search = None
        if search.hit is None:
            self.note = f"{search.wanted.text} is in no line that is shown"
            return
        self._go(search.hit)
        edge = ("end, on from the beginning", "beginning, on from the end")[not search.forward]
        self.note = f"past the {edge}" if search.wrapped else ""
        if self._further:
            self._begin_search(forward=self._further.popleft(), skip=True)

    def _arrive(self) -> bool:
        """Go to the line that was asked for, once lines are counted that far."""
        if self._going is None:
            return False
        file, number = self._going
        index = self._indexes.get(file.path)
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
        self._go(Line(lane, start))
        return True

    def _go(self, line: Line) -> None:
        if self.folds.reveal(str(self.walk.lanes[line.lane].file.path), line.start):
            self._fold()
        self._stand(self.walk.at_line(line))

    def _count(self) -> bool:
        """Look at more of a file; whether there was any."""
        for lane in self.walk.lanes:
            index = self._indexes[lane.file.path]
            if index.behind:
                self._refold |= index.advance()
                return True
        return False

    def _lines(self) -> int:
        return sum(self._indexes[lane.file.path].lines for lane in self.walk.lanes)

    def _behind(self) -> int:
        return sum(self._indexes[lane.file.path].behind for lane in self.walk.lanes)

    # --- showing ---------------------------------------------------------------------------------------

    def page(self) -> Page:
        """What is in sight."""
        lines, cursor, top, bottom = self._in_sight()
        lanes = self.walk.lanes
        size = sum(lane.file.size for lane in lanes)
        behind = self._behind()
        blocks = sum(len(lane.counts) for lane in lanes)
        unknown = 0 if self.filter.open else sum(lane.counts.count(UNKNOWN) for lane in lanes)
        search = self._search
        total = self._lines()
        at = lines[cursor] if 0 <= cursor < len(lines) else None
        return Page(
            rows=tuple(self._shown(line) for line in lines),
            cursor=cursor,
            following=self.following,
            news=0 if self.following or self._held is None else max(0, total - self._held),
            top=top,
            bottom=bottom,
            writers=self.writers,
            writer=self.writer,
            filter=self.filter,
            collapse=self.folds.enabled,
            collapsed=len(self.folds.same),
            query=self.query,
            searched=min(1.0, search.searched / max(1, search.total)) if search else None,
            filtered=1 - unknown / blocks if unknown else None,
            passing=0 if self.filter.open else sum(sum(lane.counts) for lane in lanes) + unknown,
            counted=1 - behind / size if behind and size else None,
            lines=total,
            number=self._indexes[lanes[at.lane].file.path].number(at.start) if at else None,
            size=size,
            guessed=tuple(lane.file.writer for lane in lanes if not lane.file.tells_time()),
            note=self.note,
            problem="" if lines else self._problem(unknown > 0),
        )

    def _in_sight(self) -> tuple[list[Line], int, float, float]:
        if self.following:
            lines, before = self.walk.backward(self.walk.end, self.height)
            return lines, len(lines) - 1, self.walk.share(before), 1.0
        above, before = self.walk.backward(self._place, self._row)
        below, after = self.walk.forward(self._place, self.height - len(above))
        if len(above) + len(below) < self.height:
            above, before = self.walk.backward(self._place, self.height - len(below))
        lines = above + below
        cursor = min(len(above), len(lines) - 1)
        self._row = max(0, cursor)
        return lines, cursor, self.walk.share(before), self.walk.share(after)

    def _shown(self, line: Line) -> Row:
        lane = self.walk.lanes[line.lane]
        raw = lane.file.line(line.start)
        path = str(lane.file.path)
        same = self.folds.ending_at(path, line.start)
        return Row(
            path,
            line.start,
            lane.file.writer,
            clean_line(raw.decode(errors="replace")),
            "error" if lane.in_error(line.start) else level_of(raw),
            same=tuple(same.writers) if same else (),
            folded=same is not None and self.folds.is_folded(same),
        )

    def _problem(self, unsure: bool) -> str:
        if self._missing:
            return self._missing
        if not self._files:
            return "nothing is logged yet"
        if not self.walk.lanes:
            return f"{self.writer or 'nobody'} has printed nothing yet"
        return "looking for lines that pass the filter" if unsure else "no line passes the filter"
