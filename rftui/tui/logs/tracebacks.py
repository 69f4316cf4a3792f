"""Tracebacks in logs, and those that are the same on several ranks."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rftui.tui.logs.files import LogFile

OPENING = b"Traceback (most recent call last)"
APART_S = 600.0
"""The same traceback this much later is another failure."""
_LINES = 400
_WRITER = re.compile(rb"^(?:\[(?:rank|default|Rank )?\d+\]: ?|\([^()\n]{0,80}\bpid=[^()\n]*\) ?|\d{1,4}: )")
_CHAINED = (b"During handling of the above", b"The above exception was the direct cause")
_VARYING = re.compile(rb"0x[0-9a-f]+|\d+")


@dataclass(frozen=True, slots=True)
class Traceback:
    """Lines from `start` to before `end`, the last of which, at `last`, names the exception."""

    file: LogFile
    start: int
    last: int
    end: int
    signature: int
    writer: str
    time: float


@dataclass(frozen=True)
class Same:
    """One traceback that several writers have, the earliest first."""

    members: tuple[Traceback, ...]

    @property
    def key(self) -> tuple[str, int]:
        """Stays the same while it grows."""
        return str(self.members[0].file.path), self.members[0].start

    @property
    def writers(self) -> list[str]:
        """Who has it."""
        return [member.writer for member in self.members]


def traceback_at(file: LogFile, start: int) -> Traceback | None:
    """The traceback whose first line begins there; None while its last line is not written."""
    prefix = _prefix(file.line(start))
    parts: list[bytes] = []
    opening: int | None = start
    last = None
    while opening is not None:
        at = _exception(file, opening, prefix, parts)
        if at is None:
            break
        last = at
        opening = _chained(file, at, prefix)
    if last is None:
        return None
    signature = hash(_VARYING.sub(b"#", b"\n".join(parts)))
    writer = _name(prefix) or file.writer
    return Traceback(file, start, last, file.next_start(last), signature, writer, file.time_at(start))


def _exception(file: LogFile, opening: int, prefix: bytes, parts: list[bytes]) -> int | None:
    """Where the line that names the exception begins; `parts` gets it and the frames before it."""
    at = opening
    for _ in range(_LINES):
        at = file.next_start(at)
        line = file.line(at) if at < file.size else b""
        if not line.startswith(prefix) or len(line) == len(prefix):
            return None
        parts.append(line[len(prefix) :])
        if parts[-1][:1] not in (b" ", b"\t"):
            return at
    return None


def _chained(file: LogFile, exception: int, prefix: bytes) -> int | None:
    """Where the traceback begins that says it was raised because of this one."""
    at, told = exception, False
    for _ in range(6):
        at = file.next_start(at)
        text = file.line(at)[len(prefix) :].strip() if at < file.size else b"x"
        if told and text.startswith(OPENING):
            return at
        if text and not text.startswith(_CHAINED):
            return None
        told = told or bool(text)
    return None


def _prefix(line: bytes) -> bytes:
    found = _WRITER.match(line)
    return found[0] if found else b""


def _name(prefix: bytes) -> str:
    """Who writes with that prefix: `r3`, or as it is written."""
    text = prefix.decode(errors="replace").strip(" ():[]")
    digits = text.removeprefix("rank").removeprefix("default").strip()
    return f"r{int(digits)}" if digits.isdecimal() else text


def same(tracebacks: Iterable[Traceback], order: Callable[[Traceback], tuple[float, int]]) -> list[Same]:
    """Those that more than one writer has, each writer's once."""
    groups: dict[int, list[list[Traceback]]] = {}
    for one in sorted(tracebacks, key=order):
        alike = groups.setdefault(one.signature, [])
        home = next(
            (
                group
                for group in alike
                if one.time - group[0].time < APART_S and all(one.writer != other.writer for other in group)
            ),
            None,
        )
        if home is None:
            alike.append([one])
        else:
            home.append(one)
    return [Same(tuple(group)) for alike in groups.values() for group in alike if len(group) > 1]
