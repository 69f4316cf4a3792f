"""Styles as terminals are told them: SGR parameters such as `1;38;2;94;177;240`, and how to change them.

Source: ECMA-48, 8.3.117; colours as of ISO 8613-6 with semicolons, which is what Rich writes.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_INK, _GROUND = re.compile(r"(?:3|9)\d(?:;.*)?"), re.compile(r"(?:4|10)\d(?:;.*)?")
_INTENSITY = {"1", "2"}
"""Bold and dim, which are switched off by one code."""
_NOT_INTENSE = "22"
SHOWS_ON_SPACE = {"4": "underline", "7": "reverse", "9": "strike", "21": "underline2", "53": "overline"}
"""Attributes that one sees on a space: their codes, and what Rich calls them."""


class Pen(NamedTuple):
    """What the parameters set: attributes, and both colours as parameters, empty for the default ones."""

    attributes: frozenset[str]
    ink: str
    ground: str


@lru_cache(8192)
def pen(style: str) -> Pen:
    """The parameters taken apart."""
    attributes: set[str] = set()
    ink = ground = ""
    for code in _codes(style):
        if _INK.fullmatch(code):
            ink = code
        elif _GROUND.fullmatch(code):
            ground = code
        else:
            attributes.add(code)
    return Pen(frozenset(attributes), ink, ground)


@lru_cache(8192)
def change(before: str, after: str) -> str:
    """The shortest sequence that makes a terminal with one style write in the other."""
    old, new = pen(before), pen(after)
    if old == new:
        return ""
    off = old.attributes - new.attributes
    if (off - _INTENSITY) or (old.ink and not new.ink) or (old.ground and not new.ground):
        return f"\x1b[{';'.join(['0', after]) if after else ''}m"
    codes = [_NOT_INTENSE, *sorted(new.attributes)] if off else sorted(new.attributes - old.attributes)
    codes += [new.ink] if new.ink != old.ink else []
    codes += [new.ground] if new.ground != old.ground else []
    return f"\x1b[{';'.join(codes)}m"


@lru_cache(8192)
def on_space(style: str) -> str:
    """The same in short for spaces, on which neither ink nor boldness shows."""
    found = pen(style)
    return style if found.attributes & SHOWS_ON_SPACE.keys() else found.ground


def _codes(style: str) -> Iterator[str]:
    """`38;2;r;g;b` and `48;5;n` as one code, everything else number by number."""
    left = style.split(";") if style else []
    while left:
        length = {"2": 5, "5": 3}.get(left[1], 1) if left[0] in ("38", "48") and len(left) > 1 else 1
        yield ";".join(left[:length])
        left = left[length:]
