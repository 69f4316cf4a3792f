"""Ranks in sentences."""

from collections.abc import Sequence

_SHOWN = 8


def listed(ranks: Sequence[int]) -> str:
    """`2`, `0, 1 and 3`, `0, 1, … and 63 (64 in all)`; empty for none."""
    if len(ranks) > _SHOWN:
        return f"{', '.join(map(str, ranks[: _SHOWN - 2]))}, … and {ranks[-1]} ({len(ranks)} in all)"
    if len(ranks) < 2:
        return "".join(map(str, ranks))
    return f"{', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"


def ranks_words(ranks: Sequence[int]) -> str:
    """`rank 2`, `ranks 0, 1 and 3`."""
    return f"rank{'s' if len(ranks) != 1 else ''} {listed(ranks)}"
