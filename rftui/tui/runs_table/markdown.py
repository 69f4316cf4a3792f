"""Tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Its lines."""
    yield _line(heads)
    yield "|---" * len(heads) + "|"
    yield from map(_line, rows)


def cell(text: str) -> str:
    """A text that ends neither its cell nor its row."""
    return text.replace("|", "\\|").replace("\n", " ")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"
