"""What the screen of logs shows at one moment."""

from dataclasses import dataclass, field

from rftui.tui.logs.query import Filter, Query
from rftui.tui.logs.stamps import Level


@dataclass(frozen=True, slots=True)
class Row:
    """A line. `same`: who else has the traceback that it ends; `folded`: how many of its lines are hidden."""

    path: str
    start: int
    writer: str
    text: str
    level: Level
    same: tuple[str, ...] = ()
    folded: bool = False
    marks: tuple[tuple[int, int], ...] = ()
    """From where to where in the text what is searched for stands."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A run that is played again: how fast, and which naive time and step it has reached."""

    speed: float
    now: float
    step: int
    ended: bool
    silent: tuple[str, ...]
    """Whose lines do not tell when they were written, so that they are shown at the end only."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in sight, and where they stand. Shares are from 0 to 1, None where nothing is going on."""

    rows: tuple[Row, ...] = ()
    cursor: int = -1
    following: bool = True
    news: int = 0
    """Lines that came since it stopped following."""
    top: float = 0.0
    bottom: float = 1.0
    writers: tuple[str, ...] = ()
    writer: str | None = None
    """Whose lines alone are shown."""
    filter: Filter = field(default_factory=Filter)
    collapse: bool = True
    collapsed: int = 0
    """Tracebacks that stand for several."""
    query: Query | None = None
    searched: float | None = None
    filtered: float | None = None
    passing: int = 0
    """Lines that pass the filter, as far as it has looked."""
    counted: float | None = None
    lines: int = 0
    number: int | None = None
    """Of the line under the cursor in its file."""
    size: int = 0
    guessed: tuple[str, ...] = ()
    """Writers whose lines tell no time."""
    note: str = ""
    problem: str = ""
    """Why there is nothing to see."""
    replay: Replay | None = None

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None
