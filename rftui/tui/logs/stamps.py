"""When a line was written and how bad it is, read from its bytes: a million lines in a second or two."""

import calendar
import re
import time
from typing import Literal

Level = Literal["error", "warning", "info"]

_DAY = 86400.0
_PREFIX = rb"(?:\[(?:rank|default|Rank )?\d+\]: ?|\d{1,4}: |\([^()\n]{1,80}\) ?|[\w.-]{1,60}: )*"
_STAMP = re.compile(
    rb"^" + _PREFIX + rb"[\[{\"]?(?:"
    rb"(\d{4})[-/](\d\d)[-/](\d\d)[ T]"
    rb"|(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL)[ :]+(\d\d)-(\d\d) "
    rb"|[EWIFV](\d\d?)(\d\d) "
    rb"|(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) "
    rb")?(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?(?![\d<])",
    re.MULTILINE,
)
_MONTHS = {name.encode(): number for number, name in enumerate(calendar.month_abbr) if name}

_RANK = re.compile(rb"\[(?:rank|default|Rank )?\d+\]: ?|\d{1,4}: ")

_HEAD = 400
"""Bytes of a line that tell its level."""
_GLOG = rb"(?=\d{3,4} \d\d:| [\w./-]+:\d+\])"
_TOLD = re.compile(
    rb"(?<![\w/.])(?:((?:ERROR|CRITICAL|FATAL)\b|[EF]" + _GLOG + rb")"
    rb"|((?:WARNING|WARN)\b|W" + _GLOG + rb")|(INFO|DEBUG)\b)"
)
_BAD = (
    b"Error:",
    b"Exception:",
    b"Traceback (most recent",
    b"error:",
    b"Fatal",
    b"Segmentation fault",
    b"Aborted",
)
_DOUBTFUL = (b"Warning", b"warning:")
SIGNS = (
    b"error",
    b"warn",
    b"critical",
    b"fatal",
    b"traceback",
    b"exception:",
    b"segmentation fault",
    b"aborted",
    b".cpp:",
    b".cc:",
    b".py:",
)
"""A line that has none of these, in whatever case, is neither an error nor a warning; glog names a source."""


def naive(unix: float) -> float:
    """Local clock time as seconds since 1970, which is what lines tell."""
    return unix + time.localtime(unix).tm_gmtoff


def level_of(line: bytes) -> Level:
    """By the level that a line tells, else by words of exceptions and warnings."""
    head = line[:_HEAD]
    if told := _TOLD.search(head, 0, 120):
        return "error" if told[1] else "warning" if told[2] else "info"
    if any(sign in head for sign in _BAD):
        return "error"
    return "warning" if any(sign in head for sign in _DOUBTFUL) else "info"


def time_of(line: bytes, written: float) -> float | None:
    """The naive time that a line tells; `written`, when its file was, dates clocks that have no date."""
    found = _STAMP.match(line)
    return _seconds(found, written) if found else None


def goes_on(line: bytes) -> bool:
    """Whether a line belongs to the one before: it is indented, or empty."""
    found = _RANK.match(line)
    return line[found.end() if found else 0 :][:1] in (b"", b" ", b"\t", b"\r")


def first_time(data: bytes, at: int, written: float) -> tuple[int, float] | None:
    """The first line from `at` on that tells a time: where it begins, and the time."""
    for found in _STAMP.finditer(data, at):
        seconds = _seconds(found, written)
        if seconds is not None:
            return found.start(), seconds
    return None


def _seconds(found: re.Match[bytes], written: float) -> float | None:
    year, month, day, m2, d2, m3, d3, name, d4, hour, minute, second, part = found.groups()
    clock = int(hour) * 3600 + int(minute) * 60 + int(second) + (float(b"0." + part) if part else 0.0)
    if year:
        return _date(int(year), int(month), int(day)) + clock
    if name or m2 or m3:
        this_year = time.gmtime(written).tm_year
        number, of_month = (_MONTHS[name], int(d4)) if name else (int(m2 or m3), int(d2 or d3))
        if not 1 <= number <= 12:
            return None
        seconds = _date(this_year, number, of_month) + clock
        return seconds if seconds <= written + _DAY else _date(this_year - 1, number, of_month) + clock
    seconds = written - written % _DAY + clock
    return seconds if seconds <= written + 60 else seconds - _DAY


def _date(year: int, month: int, day: int) -> float:
    return float(calendar.timegm((year, min(12, max(1, month)), day, 0, 0, 0)))
