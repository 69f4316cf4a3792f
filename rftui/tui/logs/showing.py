"""From a book of logs to the page that the screen shows."""

from typing import TYPE_CHECKING

from rftui.tui.logs.lane import UNKNOWN
from rftui.tui.logs.page import Page, Replay, Row
from rftui.tui.logs.query import deadline
from rftui.tui.logs.stamps import level_of
from rftui.tui.logs.walk import Line
from rftui.tui.text import clean_line

if TYPE_CHECKING:
    from rftui.tui.logs.book import LogBook


def page_of(book: "LogBook") -> Page:
    """What is in sight."""
    lines, cursor, top, bottom = book.in_sight()
    lanes, shelf, search = book.walk.lanes, book.shelf, book.search
    size, total, behind = sum(lane.file.size for lane in lanes), shelf.lines(lanes), shelf.behind(lanes)
    blocks = sum(len(lane.counts) for lane in lanes)
    unknown = 0 if book.filter.open else sum(lane.counts.count(UNKNOWN) for lane in lanes)
    at = lines[cursor] if 0 <= cursor < len(lines) else None
    until = deadline()
    return Page(
        rows=tuple(_row(book, line, until) for line in lines),
        cursor=cursor,
        following=book.following,
        news=0 if book.following or book.held is None else max(0, total - book.held),
        top=top,
        bottom=bottom,
        writers=shelf.writers,
        writer=book.writer,
        filter=book.filter,
        collapse=book.folds.enabled,
        collapsed=len(book.folds.same),
        query=book.query,
        searched=min(1.0, search.searched / max(1, search.total)) if search else None,
        filtered=1 - unknown / blocks if unknown else None,
        passing=0 if book.filter.open else sum(sum(lane.counts) for lane in lanes) + unknown,
        counted=1 - behind / size if behind and size else None,
        lines=total,
        number=shelf.index(lanes[at.lane].file).number(at.start) if at else None,
        size=size,
        guessed=tuple(lane.file.writer for lane in lanes if not lane.file.tells_time()),
        note=book.note,
        problem="" if lines else _problem(book, unknown > 0),
        replay=_replay(book),
    )


def _row(book: "LogBook", line: Line, until: float) -> Row:
    lane = book.walk.lanes[line.lane]
    raw = lane.file.line(line.start)
    text = clean_line(raw.decode(errors="replace"))
    path = str(lane.file.path)
    same = book.folds.ending_at(path, line.start)
    return Row(
        path,
        line.start,
        lane.file.writer,
        text,
        "error" if lane.in_error(line.start) else level_of(raw),
        same=tuple(same.writers) if same else (),
        folded=same is not None and book.folds.is_folded(same),
        marks=book.query.marks(text, until) if book.query else (),
    )


def _problem(book: "LogBook", unsure: bool) -> str:
    """Why nothing is in sight."""
    shelf = book.shelf
    if shelf.missing:
        return shelf.missing
    if not shelf.files:
        return "nothing is logged yet"
    if not book.walk.lanes:
        return f"{book.writer or 'nobody'} has printed nothing yet"
    return "looking for lines that pass the filter" if unsure else "no line passes the filter"


def _replay(book: "LogBook") -> Replay | None:
    """Of a run that is played again: how far it is, and whose lines it cannot place."""
    played = book.shelf.played
    if played is None:
        return None
    silent = [f.writer for f in book.shelf.files.values() if f.written is not None and f.written.silent]
    return Replay(played.clock.speed, played.now, played.step, played.clock.ended, tuple(silent))
