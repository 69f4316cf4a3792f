"""Micro-batches: which sequences share a forward pass, so that little is padding and ranks stay in step."""

from collections.abc import Callable, Hashable, Sequence


def make_micro_batches(
    lengths: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    *,
    max_sequences: int | None = None,
    max_tokens: int | None = None,
) -> list[list[int]]:
    """Split sequences into micro-batches of similar length, longest first.

    With `max_tokens`, a micro-batch holds at most that many tokens once padded (one longer sequence makes
    a micro-batch by itself); otherwise at most `max_sequences` sequences. Longest first makes micro-batch
    k weigh about the same on every rank and meets an out-of-memory error at once rather than late.
    Sequences with the same entry in `groups` follow each other, a group placed by its longest sequence.
    """
    batches: list[list[int]] = []
    widest = 0
    for i in _order(lengths, groups):
        count = len(batches[-1]) + 1 if batches else 0
        widest = max(widest, lengths[i])
        fits = widest * count <= max_tokens if max_tokens else not max_sequences or count <= max_sequences
        if batches and fits:
            batches[-1].append(i)
        else:
            batches.append([i])
            widest = lengths[i]
    return batches


def _order(lengths: Sequence[int], groups: Sequence[Hashable] | None) -> list[int]:
    keys = range(len(lengths)) if groups is None else groups
    longest: dict[Hashable, int] = {}
    first: dict[Hashable, int] = {}
    for i, key in enumerate(keys):
        longest[key] = max(longest.get(key, 0), lengths[i])
        first.setdefault(key, i)
    return sorted(range(len(lengths)), key=lambda i: (-longest[keys[i]], first[keys[i]], -lengths[i], i))


def agree_on_count(batches: list[list[int]], all_reduce_max: Callable[[int], int]) -> list[list[int]]:
    """Give every rank the same number of micro-batches, or their collectives would not match.

    A rank with fewer splits its fullest ones; where no sequence is left to split off, empty micro-batches
    fill up (the caller runs a forward that contributes nothing).
    """
    count = all_reduce_max(len(batches))
    batches = [list(batch) for batch in batches]
    while len(batches) < count:
        fullest = max(range(len(batches)), key=lambda k: len(batches[k]), default=None)
        if fullest is None or len(batches[fullest]) < 2:
            batches.append([])
            continue
        half = len(batches[fullest]) // 2
        batches[fullest : fullest + 1] = [batches[fullest][:half], batches[fullest][half:]]
    return batches
