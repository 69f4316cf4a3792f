"""Where `g` goes to: a time, a stretch of time, a share, a line."""

import calendar
import re
import time
from pathlib import Path

from rftui.tui.logs.book import LogBook
from rftui.tui.logs.desk import Command

HINT = "10:31 · 10:31:02 · 2026-03-14 10:31 · -5m · +30s · 50% · line 1234"

_CLOCK = re.compile(r"(?:(\d{4})-(\d\d?)-(\d\d?)[ T])?(\d\d?):(\d\d)(?::(\d\d))?")
_AWAY = re.compile(r"([+-])(\d+(?:\.\d+)?) ?([smhd])")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_LINE = re.compile(r"(?:line |:)?(\d+)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DAY = 86400.0


def jump(text: str) -> Command:
    """What to do to go there; ValueError when nobody could know where that is."""
    text = text.strip()
    if found := _CLOCK.fullmatch(text):
        year, month, day, hour, minute, second = (int(part) if part else 0 for part in found.groups())
        if hour > 23 or minute > 59 or second > 59 or (year and not (1 <= month <= 12 and 1 <= day <= 31)):
            raise ValueError(f"there is no time {text}")
        clock = hour * 3600.0 + minute * 60 + second
        if year:
            return lambda book: book.at_time(calendar.timegm((year, month, day, 0, 0, 0)) + clock)
        return lambda book: book.at_time(_of_the_day(book, clock))
    if found := _AWAY.fullmatch(text):
        away = float(found[2]) * _SECONDS[found[3]] * (1 if found[1] == "+" else -1)
        return lambda book: book.at_time(book.now + away)
    if found := _SHARE.fullmatch(text):
        share = min(1.0, float(found[1]) / 100)
        return lambda book: book.at_share(share)
    if found := _LINE.fullmatch(text):
        number = int(found[1])
        return lambda book: _line(book, number)
    raise ValueError(f"{text} is no time: {HINT}")


def _of_the_day(book: LogBook, clock: float) -> float:
    """That clock on the day of the line under the cursor."""
    now = book.now or time.time()
    return now - now % _DAY + clock


def _line(book: LogBook, number: int) -> None:
    row = book.page().row
    if row is not None:
        book.show_line(Path(row.path), max(1, number))
