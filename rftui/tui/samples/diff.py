"""What changed between two texts, word by word, written as wdiff does: `[-gone-]` and `{+new+}`."""

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from textual.content import Content

from rftui.tui.samples.shading import printable

MAX_WORDS = 3000
"""Of each text; what comes after is left out, and it is said."""
_WORD = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
_STYLES = {"same": "", "gone": "strike $error", "new": "bold underline $success"}
_SIGNS = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}


class Part(NamedTuple):
    """A stretch of text that both have, or only the one or the other."""

    kind: Literal["same", "gone", "new"]
    text: str


def word_diff(before: str, after: str) -> list[Part]:
    """From one text to the other."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    cut = max(len(old), len(new)) > MAX_WORDS
    old, new = old[:MAX_WORDS], new[:MAX_WORDS]
    parts: list[Part] = []
    for tag, start, end, new_start, new_end in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            parts.append(Part("same", "".join(old[start:end])))
            continue
        if start < end:
            parts.append(Part("gone", "".join(old[start:end])))
        if new_start < new_end:
            parts.append(Part("new", "".join(new[new_start:new_end])))
    return [*parts, Part("same", f"\n… compared up to {MAX_WORDS} words")] if cut else parts


def plain(parts: list[Part]) -> str:
    """As text for the clipboard."""
    return "".join(_signed(part) for part in parts)


def painted(parts: list[Part]) -> Content:
    """As styled text; the signs stand there too."""
    return Content.assemble(*((printable(_signed(part)), _STYLES[part.kind]) for part in parts))


def _signed(part: Part) -> str:
    before, after = _SIGNS[part.kind]
    return f"{before}{part.text}{after}"
