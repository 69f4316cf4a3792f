"""Hits of a scan become incidents: what each line tells once the lines around it are weighed."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from diagnostics.knowledge import builtin
from diagnostics.knowledge.frames import CHAIN, FRAME, HEADER, closest, is_chained, without_environment
from diagnostics.knowledge.lines import Line, indent
from diagnostics.knowledge.scan import Hit, Scanned
from diagnostics.knowledge.schema import Nearby, Role, Signature

_CODE = re.compile(
    r"\s{2,}(?:raise|assert|return|if|elif|else|with|for|while|try|except|await|yield|self\.|super\(|"
    r"[rf]{0,2}[\"'](?!\w+\": )|[\w.\[\]'\"]+ ?= ?[\w\[({\"'])"
)
_EXCEPTION = re.compile(
    r"[\w.]*(?:Error|Exception|Interrupt|Exit|Timeout)(?:\b|\w*:)|(?:[a-z_]\w*\.)+[A-Z]\w+: "
)
_CAUGHT = re.compile(
    r"\b(?:retry(?:ing)?|(?<!ax )(?<!of )(?<!\d )retries(?! exceeded| reached)|retries left|"
    r"will try again|trying again|attempt \d+ ?(?:/|of) ?\d+|recover(?:ed|ing)|"
    r"skipp(?:ed|ing) (?:this |the )?(?:batch|step|sample|micro))\b",
    re.I,
)
_NEAR_BEFORE, _NEAR_AFTER = 4, 5
"""Lines around a match that belong to it where no traceback tells; words of recovery are read after it."""
_PROGRESS_MARKED, _PROGRESS_UNMARKED, _PROGRESS_NAMED = 20, 100, 2
"""Lines of progress after an exception that show that it was survived: where the log says so, where it does
not, and where they are of the very process, which its prefix names."""

WEAK = 30
"""Signatures less specific than this count only where no other tells a cause."""

_YEAR = 366 * 86400.0


@dataclass
class Incident:
    """One thing that happened, told by one line (`hit`) and perhaps more of the same cause."""

    hit: Hit
    role: Role
    cause: str = ""
    rank: int = 50
    """How specific, as in a signature."""
    signature: Signature | None = None
    numbers: dict[str, str] = field(default_factory=dict)
    order: tuple[float, int, int] = (0.0, 0, 0)
    late: bool = False
    """Reported long after its reason: any earlier exception explains it."""

    @property
    def line(self) -> Line:
        return self.hit.line

    @property
    def place(self) -> tuple[int, int]:
        """Source and line number."""
        return self.hit.source, self.hit.line.number


class Log:
    """All scanned sources of one diagnosis, with what single lines cannot tell."""

    def __init__(self, sources: Sequence[Scanned], times: Sequence[float | None]) -> None:
        self.sources, self.times = sources, times
        self.hits = [hit for source in sources for hit in source.hits]
        self._contexts: dict[str, set[tuple[int, str]]] = {}
        for hit in self.hits:
            if hit.probe.kind == "context":
                self._contexts.setdefault(hit.probe.name, set()).add((hit.source, hit.line.process))
        self._several = sum(bool(source.hits) for source in sources) > 1

    def signature_hits(self) -> list[Hit]:
        """Hits of the knowledge, without those in the source lines of a traceback."""
        return [hit for hit in self.hits if hit.probe.kind == "signature" and not in_code(hit)]

    def builtin_hits(self, name: str) -> list[Hit]:
        """Hits of one thing that is looked for besides the knowledge."""
        return [hit for hit in self.hits if hit.probe.kind == "builtin" and hit.probe.name == name]

    def ranks(self) -> set[int]:
        """Ranks that files or matching lines tell of."""
        found = {source.rank for source in self.sources} | {hit.line.rank for hit in self.hits}
        return found - {-1}

    def order(self, hit: Hit) -> tuple[float, int, int]:
        """What to sort by: the line within one source; between sources the time, where there is one."""
        if not self._several:
            return 0.0, hit.source, hit.line.number
        t = self.time(hit)
        return (t % _YEAR if t is not None else _YEAR), hit.source, hit.line.number

    def time(self, hit: Hit) -> float | None:
        """Of a hit: its own, that of the nearest line before it in its block, or that of its source."""
        for line in (hit.line, *reversed(hit.block[: hit.at])):
            if line.t is not None:
                return line.t
        return self.times[hit.source]

    def near(self, pattern: str, where: str, hit: Hit) -> bool:
        """Whether what a signature asks for stands near a hit."""
        if where == "block":
            return re.search(pattern, "\n".join(line.text for line in hit.block or (hit.line,))) is not None
        found = self._contexts.get(pattern, set())
        return bool(found) if where == "log" else (hit.source, hit.line.process) in found

    def survived(self, hit: Hit) -> bool:
        """Whether an exception was survived: the log says that it was caught, and gets on or ends well."""
        marked = hit.line.level in ("D", "I", "W") or _says_caught(hit)
        return marked and (self.progress_after(hit, same=False) >= _PROGRESS_MARKED or self._ended_well(hit))

    def _ended_well(self, hit: Hit) -> bool:
        """Whether the training was complete after a hit; a bar at 100 % alone may be that of a loader."""
        return any(
            done.source == hit.source and done.line.number > hit.line.number and "100%|" not in done.match[0]
            for done in self.builtin_hits(builtin.DONE)
        )

    def outlived(self, hit: Hit) -> bool:
        """The same by progress of the very process alone, for an exception of which nothing is known."""
        enough = _PROGRESS_NAMED if hit.line.process else _PROGRESS_UNMARKED
        return self.survived(hit) or self.progress_after(hit, same=True) >= enough

    def progress_after(self, hit: Hit, same: bool) -> int:
        """Lines of progress after a hit, of all processes or of its own."""
        marks = self.sources[hit.source].progress
        chosen = [marks[hit.line.process]] if same and hit.line.process in marks else []
        if not same:
            chosen = list(marks.values())
        return sum(len(numbers) - bisect_right(numbers, hit.line.number) for numbers in chosen)


def comes_before(first: tuple[float, int, int], second: tuple[float, int, int]) -> bool:
    """Whether one incident came before another; also where the times of two files do not tell."""
    if first[1] != second[1] and _YEAR in (first[0], second[0]):
        return True
    return first < second


def read(log: Log) -> list[Incident]:
    """All incidents that the knowledge tells of, in order; those that were survived are left out."""
    found = []
    for hit in log.signature_hits():
        signature = hit.probe.signature
        assert signature is not None
        if signature.needs and not re.search(signature.needs, "\n".join(trace_of(hit))):
            continue
        cause, role = signature.cause, signature.role
        if nearby := _decisive(signature, hit, log):
            cause, role = nearby.cause or cause, nearby.role or role
        if role in ("root", "symptom") and (
            not cause or _is_unraisable(hit) or _is_over(signature, hit, log)
        ):
            continue
        numbers = {name: value for name, value in hit.match.groupdict().items() if value is not None}
        if hit.line.rank >= 0:
            numbers.setdefault("rank", str(hit.line.rank))
        found.append(Incident(hit, role, cause, signature.rank, signature, numbers, log.order(hit)))
    return sorted(found, key=lambda incident: incident.order)


def _decisive(signature: Signature, hit: Hit, log: Log) -> Nearby | None:
    """What is found around a hit: the closest frame where frames are asked for, else the first in order."""
    frames = [nearby for nearby in signature.nearby if nearby.where == "frames"]
    if found := closest(frames, hit.block, hit.at):
        return found
    others = (nearby for nearby in signature.nearby if nearby.where != "frames")
    return next((nearby for nearby in others if log.near(nearby.pattern, nearby.where, hit)), None)


def _is_over(signature: Signature, hit: Hit, log: Log) -> bool:
    """Whether the run got on; for a guess, progress alone is enough to say so."""
    return log.outlived(hit) if signature.rank < WEAK else log.survived(hit)


def in_code(hit: Hit) -> bool:
    """Whether a line is a source line that a traceback shows, not a message."""
    text = hit.line.text
    if FRAME.match(text) or (hit.at and FRAME.match(hit.block[hit.at - 1].text)):
        return not FRAME.match(text) and not _EXCEPTION.match(text)
    return bool(_CODE.match(text))


def trace_of(hit: Hit) -> list[str]:
    """Texts of the traceback that ends at a hit, chained ones included; without frames, of the nearest lines.

    Lines of others that came in between are left in: only the way back to the first frame is found.
    """
    start, frames = hit.at, 0
    for number in range(hit.at - 1, -1, -1):
        text = hit.block[number].text
        if HEADER in text:
            start, frames = number, frames + 1
            if not is_chained(hit.block, number):
                break
        elif FRAME.match(text):
            start, frames = number, frames + 1
    if not frames:
        start = max(0, hit.at - _NEAR_BEFORE)
    return [without_environment(line.text) for line in hit.block[start : hit.at + 1 + _NEAR_AFTER]]


def _is_unraisable(hit: Hit) -> bool:
    """Whether Python only printed an exception, from a `__del__` or at exit, and went on."""
    for line in reversed(hit.block[: hit.at]):
        if "Exception ignored in" in line.text:
            return True
        if HEADER not in line.text and not FRAME.match(line.text) and not indent(line.text):
            return False
    return False


def _says_caught(hit: Hit) -> bool:
    near = hit.block[hit.at : hit.at + _NEAR_AFTER + 1]
    return any(_CAUGHT.search(line.text) for line in near if not _CODE.match(line.text))


def exceptions(log: Log, known: set[tuple[int, int]], died: bool) -> list[Hit]:
    """Exceptions that no signature knows, the earliest first, without those that were survived.

    `died`: other lines tell that a process ended; then progress alone, perhaps of others, excuses nothing.
    """
    excused = log.survived if died else log.outlived
    hits = [
        hit
        for hit in log.builtin_hits(builtin.EXCEPTION)
        if (hit.source, hit.line.number) not in known
        and not in_code(hit)
        and not _is_unraisable(hit)
        and not excused(hit)
    ]
    return sorted(hits, key=log.order)


def errors(log: Log, known: set[tuple[int, int]]) -> list[Hit]:
    """Lines at the level of an error, and crashes of native code, with no progress after them."""
    hits = [
        hit
        for hit in log.builtin_hits(builtin.ERROR)
        if (hit.source, hit.line.number) not in known
        and not in_code(hit)
        and not _is_unraisable(hit)
        and not _has_its_exception(hit, log)
        and not _leads_to(hit, known)
        and not any(line.text == "KeyboardInterrupt" for line in hit.block[hit.at :])
        and log.progress_after(hit, same=False) < (1 if _says_caught(hit) else _PROGRESS_MARKED)
    ]
    return sorted(hits, key=log.order)


def _leads_to(hit: Hit, known: set[tuple[int, int]]) -> bool:
    """Whether it is a frame or a blank of a traceback, at the level of an error, whose end is known."""
    text = hit.line.text
    if text.strip(" ^~") and not FRAME.match(text) and not CHAIN.search(text):
        return False
    return any((hit.source, line.number) in known for line in hit.block)


def _has_its_exception(hit: Hit, log: Log) -> bool:
    """Whether it is the head of a traceback whose end is there, too: then that line is what counts."""
    return hit.line.text.startswith("Traceback") and any(
        other.source == hit.source
        and other.line.process == hit.line.process
        and other.line.number > hit.line.number
        for other in log.builtin_hits(builtin.EXCEPTION)
    )
