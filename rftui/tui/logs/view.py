"""Where one is in the lines: a cursor on a row of the screen, and whether the end is followed."""

from collections.abc import Callable

from rftui.tui.logs.shelf import Spot
from rftui.tui.logs.walk import Line, Place, Walk


class View:
    """A screen of `height` lines. `counted`: how many lines there are; None while they are counted."""

    def __init__(self, counted: Callable[[], int | None]) -> None:
        self.height = 24
        self.following = True
        self.walk = Walk(())
        self.held: int | None = None
        """Lines there were when it stopped following."""
        self._counted = counted
        self._place = Place(())
        self._row = 0
        """Of the screen, where the line at the place stands."""

    def resize(self, height: int) -> None:
        """So many lines are in sight."""
        self.height = max(1, height)
        self._row = min(self._row, self.height - 1)

    def renew(self, walk: Walk, at: Spot | None) -> None:
        """Go through other lines: stay at a line, or where its file is not among them at its time."""
        self.walk, self._place = walk, walk.end
        if at is None:
            return
        files = [lane.file for lane in walk.lanes]
        if at[0] in files:
            self._place = walk.at_line(Line(files.index(at[0]), at[1]))
        else:
            self._place = walk.at_time(at[0].time_at(at[1]))
        self._place = self._at_a_line(self._place)

    # --- moving ----------------------------------------------------------------------------------------

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
        kept = min(self.height - 1, max(0, row))
        if row != kept:
            self.move(kept - row)
        self._row = kept

    def page_by(self, pages: int) -> None:
        """A screen on, or back."""
        self._hold()
        row = self._row
        self.move(pages * max(1, self.height - 1))
        self._row = row

    def select(self, row: int) -> None:
        """The cursor to a row of the screen."""
        lines, cursor, _, _ = self.in_sight()
        if 0 <= row < len(lines):
            self._hold()
            self._row = cursor
            self.move(row - cursor)

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

    # --- where -----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Naive time of the line under the cursor; 0 where there is none."""
        line = self.line
        return self.walk.lanes[line.lane].file.time_at(line.start) if line else 0.0

    @property
    def line(self) -> Line | None:
        """The line under the cursor."""
        if self.following:
            return next(iter(self.walk.backward(self.walk.end, 1)[0]), None)
        lines = self.walk.forward(self._place, 1)[0] or self.walk.backward(self._place, 1)[0]
        return lines[0] if lines else None

    def spot(self) -> Spot | None:
        """The line under the cursor by its file; None while the end is followed."""
        line = None if self.following else self.line
        return (self.walk.lanes[line.lane].file, line.start) if line else None

    def near(self) -> Spot | None:
        """About where one is, without a look at any line."""
        if self.following or not self.walk.lanes:
            return None
        lane = max(0, self._place.first)
        return self.walk.lanes[lane].file, self._place.offsets[lane]

    def in_sight(self) -> tuple[list[Line], int, float, float]:
        """The lines of the screen, which of them is under the cursor, and the shares where they stand."""
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

    def search_from(self, *, skip: bool) -> Place:
        """Where a search begins; `skip`: the line under the cursor does not count."""
        if self.following:
            return self.walk.backward(self.walk.end, 1)[1] if skip else self.walk.end
        if self._place.first < 0 and (line := self.line):
            return Place(self._place.offsets, line.lane)
        return self._place

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
            self.held = self._counted()
