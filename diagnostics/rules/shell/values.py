"""Shell values as pieces of text that know their line, and how they fall into words."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec


class Piece(NamedTuple):
    """A run of text of one origin. `line` is where its first character stands, from 1.

    `splits`: it came from an unquoted expansion, so white space in it separates words. `unknown`: its
    value is not in the file and `text` is what is written there. `depends`: why another value is possible.
    `ends_word`: the boundary between two elements of an array.
    """

    text: str
    line: int
    splits: bool = False
    unknown: bool = False
    depends: str = ""
    ends_word: bool = False


Value = tuple[Piece, ...]


class Word(msgspec.Struct, frozen=True):
    """One argument of a command. `unknown`: the parts whose value is not in the file, as written there.

    `depends`: why another value is possible, a sentence each.
    """

    text: str
    line: int
    unknown: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()


def text_of(value: Value) -> str:
    """The text of a value, unknown parts as they are written."""
    return "".join(piece.text for piece in value)


def is_known(value: Value) -> bool:
    """True where every part of the value is in the file."""
    return not any(piece.unknown for piece in value)


def word_of(value: Value, line: int) -> Word:
    """All of a value as one word; `line` is used where it is empty."""
    return Word(
        text_of(value),
        next((piece.line for piece in value if piece.text), line),
        tuple(dict.fromkeys(piece.text for piece in value if piece.unknown)),
        tuple(dict.fromkeys(piece.depends for piece in value if piece.depends)),
    )


def words_of(value: Value) -> list[Word]:
    """The words that the shell makes of one argument: none, one, or several."""
    return [word_of(part, part[0].line) for part in parts_of(value)]


def parts_of(value: Value) -> list[Value]:
    """A value where the shell splits it into words."""
    parts: list[Value] = []
    current: list[Piece] = []

    def end() -> None:
        if current:
            parts.append(tuple(current))
            current.clear()

    for piece in value:
        if piece.ends_word:
            end()
        elif piece.splits and not piece.unknown:
            for part, starts_new in _split(piece):
                if starts_new:
                    end()
                if part.text:
                    current.append(part)
        else:
            current.append(piece)
    end()
    return parts


def with_line_breaks(text: str, line: int) -> Value:
    """`text` as one piece a line, so that each keeps its own line number."""
    return tuple(Piece(part, line + i) for i, part in enumerate(text.splitlines(keepends=True)))


def splitting(value: Value, splits: bool) -> Value:
    """A value as an expansion that is split into words, or is not."""
    return tuple(piece._replace(splits=splits) for piece in value)


def depending(value: Value, note: str) -> Value:
    """A value that could be another one, and why."""
    return tuple(piece._replace(depends=note) for piece in value)


def _split(piece: Piece) -> Iterable[tuple[Piece, bool]]:
    """A splitting piece at its white space: each part, and whether a word ends before it."""
    line = piece.line
    starts_new = False
    for part in _runs(piece.text):
        if part.isspace():
            line += part.count("\n")
            starts_new = True
            yield piece._replace(text="", line=line), True
        else:
            yield piece._replace(text=part, line=line), starts_new
            starts_new = False


def _runs(text: str) -> Iterable[str]:
    """Alternating runs of white space and of other characters."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or text[end].isspace() != text[start].isspace():
            yield text[start:end]
            start = end
