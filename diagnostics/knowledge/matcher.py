"""Finds the lines of a log that tell something, fast: literals in folded text, then patterns on what is left.

Folding takes digits, blanks, punctuation and colour codes out, so that lines which differ only in numbers
become equal, and every literal needs to be looked for once per kind of line.
"""

import functools
import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

from diagnostics.knowledge.lines import Line, clean, parse
from diagnostics.knowledge.schema import Nearby, Signature

Kind = Literal["signature", "context", "builtin"]

DELETED = bytes(range(33)).replace(b"\n", b"") + b"0123456789.,:;+-#[mKe" + bytes(range(127, 256))
"""`[`, `m` and `K` because they are in colour codes, `e` because it is in numbers; a newline stays."""
_SHORTEST = 4
"""Bytes of a folded literal; a shorter one is looked for in the text as it is."""
MAX_TEXT = 4096
"""Characters of a line that patterns see around a literal: one line can be a whole file."""
_MAX_WINDOWS = 8

_ADVICE = re.compile(
    r"(?:There are some potential root causes|Some common causes include|Possible solutions?|"
    r"^\d+\. |This (?:can|may|could|might) be (?:caused|due)|For debugging consider|If reserved memory is)"
)
"""What follows is said whatever the cause was."""


@dataclass(frozen=True)
class Probe:
    """One thing to look for. `literals`: one of them is in every line that matches."""

    kind: Kind
    name: str
    literals: tuple[str, ...]
    pattern: str
    raw: bool = False
    signature: Signature | None = None

    @functools.cached_property
    def compiled(self) -> re.Pattern[str]:
        """Compiled when a line has the literal, for few do."""
        return re.compile(self.pattern)

    @functools.cached_property
    def several_lines(self) -> bool:
        """Whether the pattern holds a newline: it sees the lines of the same process that follow, too."""
        return "\\n" in self.pattern or "\n" in self.pattern

    def may_match(self, raw: bytes) -> bool:
        """Whether a raw line has a literal; colour codes may part it."""
        return b"\x1b" in raw or any(literal in raw for literal in self._encoded)

    @functools.cached_property
    def _encoded(self) -> tuple[bytes, ...]:
        return tuple(literal.encode() for literal in self.literals)

    def search(self, line: Line) -> re.Match[str] | None:
        """Where the pattern is found, in what the line says or in the whole line."""
        for text in (line.text, line.full):
            for window in self._windows(text):
                if found := self.compiled.search(window):
                    return found if self._is_evidence(window, found) else None
        return None

    def _windows(self, text: str) -> Iterator[str]:
        if len(text) <= MAX_TEXT:
            if any(literal in text for literal in self.literals):
                yield text
            return
        for literal in self.literals:
            at = text.find(literal)
            for _ in range(_MAX_WINDOWS):
                if at < 0:
                    break
                yield text[max(0, at - MAX_TEXT // 2) : at + MAX_TEXT // 2]
                at = text.find(literal, at + MAX_TEXT // 2)

    def _is_evidence(self, text: str, found: re.Match[str]) -> bool:
        advice = _ADVICE.search(text)
        if advice is None or found.start() < advice.start() or self.kind != "signature":
            return True
        return any(_ADVICE.search(literal) for literal in self.literals)


def signature_probe(signature: Signature) -> Probe:
    """The probe of a signature."""
    return Probe(
        kind="signature",
        name=signature.id,
        literals=(signature.literal, *signature.also),
        pattern=signature.pattern or re.escape(signature.literal),
        raw=signature.raw,
        signature=signature,
    )


def context_probe(nearby: Nearby) -> Probe:
    """The probe of what another line of the process or of the log must say; ValueError without a literal."""
    return Probe("context", nearby.pattern, literals_of(nearby.pattern), nearby.pattern)


def matches(signature: Signature, text: str) -> re.Match[str] | None:
    """Where a signature matches a text of one or more lines, as a scan finds it.

    What it needs around it is asked for where there are several lines.
    """
    probe = signature_probe(signature)
    lines = [parse(clean(line.encode())) for line in text.splitlines()]
    around = "\n".join(line.text for line in lines)
    if signature.needs and len(lines) > 1 and not re.search(signature.needs, around):
        return None
    for number, line in enumerate(lines):
        if probe.several_lines:
            line = joined(line, lines[number + 1 :])
        if found := probe.search(line):
            return found
    return None


def joined(line: Line, following: Iterable[Line]) -> Line:
    """A line together with those that follow in its process, for patterns that hold a newline."""
    text = "\n".join([line.text, *(other.text for other in following)])
    return line._replace(text=text, full=text)


def literals_of(pattern: str) -> tuple[str, ...]:
    """Texts of which one is in whatever the pattern matches; ValueError where there is none to look for."""
    parser: Any = importlib.import_module("re._parser")
    if re.compile(pattern).flags & re.I:
        raise ValueError(f"{pattern!r} ignores case: there is no literal to look for first")
    found = _required(parser.parse(pattern))
    if not found or min(map(len, found)) < _SHORTEST - 1:
        raise ValueError(f"{pattern!r} has no literal of at least 3 characters to look for first")
    return found


def _required(tokens: Iterable[tuple[Any, Any]]) -> tuple[str, ...]:
    """The best set of alternatives in a sequence of parsed tokens: its shortest text is the longest."""
    candidates: list[tuple[str, ...]] = []
    run = ""
    for operator, value in [*tokens, (None, None)]:
        name = str(operator)
        if name == "LITERAL":
            run += chr(value)
            continue
        if run:
            candidates.append((run,))
            run = ""
        if name == "SUBPATTERN":
            candidates.append(_required(value[3]))
        elif name == "BRANCH":
            parts = [_required(branch) for branch in value[1]]
            if all(parts):
                candidates.append(tuple(text for part in parts for text in part))
        elif name in ("MAX_REPEAT", "MIN_REPEAT") and value[0] > 0:
            candidates.append(_required(value[2]))
    usable = [candidate for candidate in candidates if candidate]
    return max(usable, key=lambda texts: min(map(len, texts)), default=())


def fold(text: bytes) -> bytes:
    """Text without what differs between lines of one kind."""
    return text.translate(None, DELETED)


class Finder:
    """Tells which probes can match a kind of line, by their literals."""

    def __init__(self, probes: Sequence[Probe], marks: Sequence[bytes] = ()) -> None:
        """`marks`: folded literals that are only to be found, by no probe."""
        self.probes = tuple(probes)
        self._plain: dict[bytes, list[int]] = {}
        by_literal: dict[bytes, list[int]] = {mark: [] for mark in marks}
        for index, probe in enumerate(self.probes):
            for literal in probe.literals:
                folded = fold(literal.encode())
                if len(folded) >= _SHORTEST:
                    by_literal.setdefault(folded, []).append(index)
                else:
                    self._plain.setdefault(literal.encode(), []).append(index)
        self._indices = [by_literal[literal] for literal in by_literal]
        self._marked = len(marks)
        self._search_plain = BytesAhoCorasick(list(self._plain), matchkind=MatchKind.LeftmostLongest)
        self._search = BytesAhoCorasick(list(by_literal), implementation=Implementation.DFA)

    def kinds(self, blob: bytes) -> tuple[dict[bytes, set[int]], set[bytes]]:
        """Of folded lines, joined by newlines: those with literals, and the probes to try; the marked."""
        probes: dict[bytes, set[int]] = {}
        marked: set[bytes] = set()
        for literal, at, _ in self._search.find_matches_as_indexes(blob, overlapping=True):
            start, end = blob.rfind(b"\n", 0, at) + 1, blob.find(b"\n", at)
            kind = blob[start : end if end >= 0 else len(blob)]
            if literal < self._marked:
                marked.add(kind)
            if indices := self._indices[literal]:
                probes.setdefault(kind, set()).update(indices)
        return probes, marked

    def plain(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        """Line number, from 0, and probe of each literal that folding would destroy."""
        number, counted, end = 0, 0, -1
        for _, at, _ in self._search_plain.find_matches_as_indexes(chunk):
            if at < end:
                continue
            number += chunk.count(b"\n", counted, at)
            counted, start = at, chunk.rfind(b"\n", 0, at) + 1
            end = chunk.find(b"\n", at)
            end = end if end >= 0 else len(chunk)
            for literal, indices in self._plain.items():
                if chunk.find(literal, start, end) >= 0:
                    for index in indices:
                        yield number, index
