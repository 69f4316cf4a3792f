"""Micro-batches: which sequences share a forward pass, so that little is padding and ranks stay in step."""

from collections.abc import Callable, Sequence


def make_micro_batches(
    lengths: Sequence[int], *, max_sequences: int | None = None, max_tokens: int | None = None
) -> list[list[int]]:
    """Split sequences into micro-batches of similar length, longest first.

    With `max_tokens`, a micro-batch holds at most that many tokens once padded (one longer sequence makes
    a micro-batch by itself); otherwise at most `max_sequences` sequences. Longest first makes micro-batch
    k weigh about the same on every rank and meets an out-of-memory error at once rather than late.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        if batches and _fits(batches[-1], lengths, max_sequences, max_tokens):
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _fits(
    batch: list[int], lengths: Sequence[int], max_sequences: int | None, max_tokens: int | None
) -> bool:
    if max_tokens is not None:
        return lengths[batch[0]] * (len(batch) + 1) <= max_tokens
    return max_sequences is None or len(batch) < max_sequences


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
