"""Micro-batches: which sequences share a forward pass, so that little is padding and ranks stay in step."""

from collections.abc import Callable, Hashable, Sequence


def make_micro_batches(
    lengths: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    *,
    max_sequences: int | None = None,
    max_tokens: int | None = None,
    packed: bool = False,
) -> list[list[int]]:
    """Split sequences into micro-batches of similar length, longest first.

    With `max_tokens`, a micro-batch holds at most that many tokens, counted without padding if rows are
    `packed` and with it if not (one longer sequence makes a micro-batch by itself), and all of them about
    the same; otherwise at most `max_sequences` sequences. Longest first makes micro-batch k weigh about the
    same on every rank and meets an out-of-memory error at once rather than late. Sequences with the same
    entry in `groups` follow each other, a group placed by its longest sequence.
    """
    order = _order(lengths, groups)
    if not max_tokens:
        size = max_sequences or max(1, len(order))
        return [order[start : start + size] for start in range(0, len(order), size)]
    weigh = _real_tokens if packed else _padded_tokens
    return _evened([(i, lengths[i]) for i in order], max_tokens, weigh)


Weigh = Callable[[Sequence[int]], int]


def _real_tokens(lengths: Sequence[int]) -> int:
    return sum(lengths)


def _padded_tokens(lengths: Sequence[int]) -> int:
    return max(lengths) * len(lengths)


def _evened(sequences: Sequence[tuple[int, int]], max_tokens: int, weigh: Weigh) -> list[list[int]]:
    """The fewest micro-batches within `max_tokens`, cut at the smallest budget that needs no more of them."""
    fewest = _filled(sequences, max_tokens, weigh)
    low, high = 0, max_tokens
    while high - low > 1:
        middle = (low + high) // 2
        if len(_filled(sequences, middle, weigh)) > len(fewest):
            low = middle
        else:
            high = middle
    return _filled(sequences, high, weigh)


def _filled(sequences: Sequence[tuple[int, int]], max_tokens: int, weigh: Weigh) -> list[list[int]]:
    """One micro-batch filled after another, from (index, length) in the order given."""
    batches: list[list[int]] = []
    held: list[int] = []
    for i, length in sequences:
        if batches and weigh([*held, length]) <= max_tokens:
            batches[-1].append(i)
            held.append(length)
        else:
            batches.append([i])
            held = [length]
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
