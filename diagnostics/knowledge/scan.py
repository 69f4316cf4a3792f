"""Reads a source once, in chunks, and keeps of it what matters: matching lines and the lines around them."""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from diagnostics.knowledge import builtin
from diagnostics.knowledge.lines import Line, clean, parse
from diagnostics.knowledge.matcher import MAX_TEXT, Finder, Probe, fold, joined
from diagnostics.knowledge.sources import Source, Unreadable

BEFORE, AFTER = 80, 20
"""Lines of the same process that are kept around a match."""
_REACH_BACK, _REACH_ON = 800, 200
"""Lines of all processes in which those are looked for."""
_MAX_KEPT = 4 << 20
"""Bytes kept of the previous chunk."""
_MAX_LINE = 16 << 20
"""Bytes after which a line without end is cut."""
_SEEN_BYTES = 48 << 20
"""Bytes of kinds of lines that are remembered; beyond it all are forgotten, and looked at again."""
_TRIES, _RAW_TRIES = 1000, 20_000
"""Lines of one kind that are tried before the kind is given up; more where digits of the line matter."""
_FIRST = 3
"""Matches of one signature in one process that are kept."""
_MAX_HITS = 4096
_EVERY = frozenset({builtin.WATCHDOG, builtin.EXIT})
_PROGRESS_SAMPLE, _MAX_PROGRESS = 512, 4096
"""Lines of progress that are noted of a chunk, and of a source."""
_TAIL = 1 << 18
"""Bytes of a chunk without matches that are kept for the next."""


@dataclass
class Hit:
    """A line that a probe matched. `block`: lines of the same process around it; `at`: its place there."""

    source: int
    probe: Probe
    line: Line
    match: re.Match[str]
    block: tuple[Line, ...] = ()
    at: int = 0


@dataclass
class Scanned:
    """What a scan of one source found."""

    name: str
    rank: int = -1
    hits: list[Hit] = field(default_factory=list)
    lines: int = 0
    bytes: int = 0
    progress: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("Q")))
    """Line numbers of progress by process, a sample."""
    note: str = ""


class Scanner:
    """Scans sources with one set of probes."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self.finder = Finder(tuple(probes), builtin.PROGRESS)

    def scan(self, source: Source, index: int = 0) -> Scanned:
        """All of a source; an unreadable one gives a note."""
        state = _State(self.finder, index, Scanned(source.name, source.rank))
        rest: list[bytes] = []
        size = 0
        try:
            for chunk in source.chunks():
                state.found.bytes += len(chunk)
                cut = chunk.rfind(b"\n") + 1
                if not cut and size + len(chunk) < _MAX_LINE:
                    rest.append(chunk)
                    size += len(chunk)
                    continue
                state.take(b"".join([*rest, chunk[: cut or None]]), ends=bool(cut))
                rest = [chunk[cut:]] if cut else []
                size = len(rest[0]) if rest else 0
        except Unreadable as error:
            state.found.note = str(error)
        if any(rest):
            state.take(b"".join(rest), ends=False)
            state.found.lines += 1
        state.finish()
        return state.found


class _State:
    """A scan on its way: the text in hand, and the lines before it that are still needed."""

    def __init__(self, finder: Finder, index: int, found: Scanned) -> None:
        self.finder, self.index, self.found = finder, index, found
        self.seen: set[bytes] = set()
        self.seen_bytes = 0
        self.hot: dict[bytes, tuple[int, ...]] = {}
        self.tried: dict[bytes, int] = {}
        self.progress: set[bytes] = set()
        self.before: list[bytes] = []
        self.waiting: list[Hit] = []
        self.kept: dict[tuple[str, str], list[Hit]] = defaultdict(list)
        self.watch_progress = False
        self.marked = 0

    def take(self, text: bytes, ends: bool) -> None:
        """Look at whole lines; `ends` tells whether the last one is complete."""
        body = text[:-1] if ends else text
        folded = fold(body).split(b"\n")
        kinds = set(folded)
        fresh = kinds - self.seen
        if fresh:
            self._learn(fresh)
        active = kinds & self.hot.keys() if len(kinds) < len(self.hot) else self.hot.keys() & kinds
        at: dict[int, tuple[int, ...]] = {}
        if active:
            at = {number: self.hot[kind] for number, kind in enumerate(folded) if kind in active}
        for number, probe in self.finder.plain(body):
            at[number] = (*at.get(number, ()), probe)
        raw: list[bytes] | None = None
        if at or self.waiting:
            raw = body.split(b"\n")
            window = _Window([*self.before, *raw], self.found.lines - len(self.before), self.found.rank)
            self._finish_waiting(window)
            for number, probes in sorted(at.items()):
                self._try(window, len(self.before) + number, probes, folded[number])
        if self.watch_progress and self.marked < _MAX_PROGRESS:
            self._count_progress(folded, body)
        self._remember(raw, body)
        self.found.lines += len(folded) if ends else len(folded) - 1

    def finish(self) -> None:
        """The source is over."""
        self.found.hits = sorted(
            (hit for hits in self.kept.values() for hit in hits), key=lambda hit: hit.line.number
        )

    def _learn(self, fresh: set[bytes]) -> None:
        blob = b"\n".join(fresh)
        if self.seen_bytes > _SEEN_BYTES:
            self.seen, self.seen_bytes = set(), 0
        self.seen |= fresh
        self.seen_bytes += len(blob) + 100 * len(fresh)
        probes, marked = self.finder.kinds(blob)
        self.hot.update({kind: tuple(sorted(indices)) for kind, indices in probes.items()})
        self.progress.update(kind for kind in marked if not builtin.NOT_PROGRESS.search(kind[:MAX_TEXT]))

    def _try(self, window: "_Window", place: int, probes: tuple[int, ...], kind: bytes) -> None:
        self.tried[kind] = tries = self.tried.get(kind, 0) + 1
        chosen = [self.finder.probes[index] for index in probes]
        if tries > (_RAW_TRIES if any(probe.raw for probe in chosen) else _TRIES):
            self.hot.pop(kind, None)
            return
        chosen = [probe for probe in chosen if probe.may_match(window.raw[place])]
        for line in window.parts(place) if chosen else ():
            for probe in chosen:
                seen = window.with_following(place, line) if probe.several_lines else line
                if match := probe.search(seen):
                    told = line
                    if len(line.full) > MAX_TEXT:
                        told = line._replace(text=match.string, full=match.string)
                    self._keep(Hit(self.index, probe, told, match), window, place)

    def _keep(self, hit: Hit, window: "_Window", place: int) -> None:
        probe = hit.probe
        hits = self.kept[(probe.name, hit.line.process)]
        if probe.name == builtin.DONE or (probe.kind == "context" and not hits):
            hits[:] = [hit]  # the last, or any
        elif probe.name in _EVERY:
            hits.extend([hit] if len(hits) < _MAX_HITS else [])
        elif probe.kind != "context" and len(hits) < _FIRST and len(self.kept) < _MAX_HITS:
            hits.append(hit)
            self.watch_progress = True
            self._surround(hit, window, place)

    def _surround(self, hit: Hit, window: "_Window", place: int) -> None:
        before = window.before(place, hit.line.process)
        after, complete = window.after(place, hit.line.process)
        hit.block, hit.at = (*before, hit.line, *after), len(before)
        if not complete:
            self.waiting.append(hit)

    def _finish_waiting(self, window: "_Window") -> None:
        waiting, self.waiting = self.waiting, []
        for hit in waiting:
            place = hit.line.number - 1 - window.first
            if 0 <= place < len(window.raw):
                after, _ = window.after(place, hit.line.process)
                hit.block = (*hit.block[: hit.at + 1], *after)

    def _count_progress(self, folded: list[bytes], body: bytes) -> None:
        numbers = [number for number, kind in enumerate(folded) if kind in self.progress]
        if not numbers:
            return
        raw = body.split(b"\n")
        step = max(1, len(numbers) // _PROGRESS_SAMPLE)
        for number in numbers[::step]:
            line = parse(clean(raw[number][:MAX_TEXT]), rank=self.found.rank)
            self.found.progress[line.process].append(self.found.lines + number + 1)
            self.marked += 1

    def _remember(self, raw: list[bytes] | None, body: bytes) -> None:
        """Keep the last lines, for blocks of matches that come next."""
        if raw is None:
            raw = body[-_TAIL:].split(b"\n")[len(body) > _TAIL :]
        kept = [*self.before, *raw][-_REACH_BACK:]
        size = 0
        for number in range(len(kept) - 1, -1, -1):
            size += len(kept[number])
            if size > _MAX_KEPT:
                kept = kept[number + 1 :]
                break
        self.before = kept


class _Window:
    """Lines in hand, parsed when they are asked for. `first`: lines of the source before them."""

    def __init__(self, raw: list[bytes], first: int, rank: int) -> None:
        self.raw, self.first, self.rank = raw, first, rank
        self._parsed: dict[int, Line] = {}

    def line(self, place: int) -> Line:
        """The line at a place, cut where it is very long."""
        if place not in self._parsed:
            raw = self.raw[place]
            text = clean(raw[:MAX_TEXT])
            self._parsed[place] = parse(
                text.rstrip("\r").rpartition("\r")[2], self.first + place + 1, self.rank
            )
        return self._parsed[place]

    def parts(self, place: int) -> list[Line]:
        """A line, parted where it overwrote itself."""
        text = clean(self.raw[place])
        return [parse(part, self.first + place + 1, self.rank) for part in text.split("\r") if part]

    def with_following(self, place: int, line: Line) -> Line:
        """A line together with those that follow in its process."""
        return joined(line, self.after(place, line.process)[0])

    def before(self, place: int, process: str) -> list[Line]:
        """Up to `BEFORE` lines of the process, and of no process, that come before."""
        found: list[Line] = []
        for number in range(place - 1, max(-1, place - 1 - _REACH_BACK), -1):
            line = self.line(number)
            if line.process in (process, ""):
                found.append(line)
                if len(found) == BEFORE:
                    break
        return found[::-1]

    def after(self, place: int, process: str) -> tuple[list[Line], bool]:
        """Up to `AFTER` lines that follow, and whether there can be no more."""
        found: list[Line] = []
        end = place + 1 + _REACH_ON
        for number in range(place + 1, min(len(self.raw), end)):
            line = self.line(number)
            if line.process in (process, ""):
                found.append(line)
                if len(found) == AFTER:
                    return found, True
        return found, end <= len(self.raw)
