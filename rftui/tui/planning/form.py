"""Rows of the form as coloured parts: pure, so that widths and words are tested without a terminal."""

from typing import NamedTuple

from rftui.tui.planning.rows import GLYPHS, ORIGINS, Field, Heading, Problem, Row

COLUMNS = ((100, 31, 30), (80, 27, 28), (0, 27, 17))
"""From this width on: cells of names and of values."""


class Part(NamedTuple):
    """Text and the part of the style sheet that colours it, `form--KIND`."""

    text: str
    kind: str


def value_column(width: int) -> tuple[int, int]:
    """Where values begin, and how many cells they have."""
    return next((2 + name, value) for least, name, value in COLUMNS if width >= least)


def parts(row: Row, width: int) -> list[Part]:
    """One row."""
    if isinstance(row, Heading):
        line = f" {row.section} "
        return [Part(line, "section"), Part(_fit(row.about, width - len(line)), "quiet")]
    if isinstance(row, Problem):
        glyph = GLYPHS[row.of.severity or "info"][0]
        return [Part(_fit(f"    {glyph} {row.of.problem}", width), row.of.severity or "quiet")]
    return _field(row, width)


def _field(field: Field, width: int) -> list[Part]:
    start, cells = value_column(width)
    glyph = GLYPHS["error"][0] if field.severity == "error" else ORIGINS[field.origin][0]
    kind = "error" if field.severity == "error" else field.origin
    name = Part(f"{glyph} {_fit(field.parameter.name, start - 3)}".ljust(start), kind)
    value = Part(f"{_fit(field.value, cells - 1)}".ljust(cells), kind)
    room = width - start - cells
    return [name, value, Part(_fit(note(field), room), "quiet")] if room > 8 else [name, value]


def note(field: Field) -> str:
    """Unit, and what matters most of the origin."""
    unit = f"{field.parameter.unit} · " if field.parameter.unit else ""
    if field.refused:
        return f"{unit}not in this version: {field.parameter.help}"
    if field.origin == "user":
        return f"{unit}you; {field.without}"
    if field.origin == "planner":
        return f"{unit}planner: {field.reason or 'chosen'}"
    return f"{unit}{field.parameter.help}"


def _fit(text: str, cells: int) -> str:
    return text if len(text) <= cells else text[: max(0, cells - 1)] + "…"
