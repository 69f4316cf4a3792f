"""Micro-batches cover every sequence once, respect their limits, and agree in number."""

import random

import pytest

from engine.data.batching import agree_on_count, make_micro_batches


@pytest.mark.parametrize("seed", range(20))
def test_every_sequence_once_within_limits(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(1, 100) for _ in range(rng.randint(1, 40))]
    by_count = make_micro_batches(lengths, max_sequences=rng.randint(1, 8))
    budget = rng.randint(50, 300)
    by_tokens = make_micro_batches(lengths, max_tokens=budget)
    for batches in (by_count, by_tokens):
        assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in by_tokens:
        assert max(lengths[i] for i in batch) * len(batch) <= budget or len(batch) == 1


def test_fixed_count_gives_the_fewest_batches() -> None:
    assert [len(b) for b in make_micro_batches([5] * 10, max_sequences=4)] == [4, 4, 2]


def test_similar_lengths_share_a_batch() -> None:
    batches = make_micro_batches([1, 90, 2, 91], max_sequences=2)
    assert batches == [[3, 1], [2, 0]]


def test_a_rank_with_fewer_splits_then_fills_up() -> None:
    agreed = agree_on_count([[0, 1, 2]], lambda n: max(n, 4))
    assert len(agreed) == 4
    assert sorted(i for b in agreed for i in b) == [0, 1, 2]
    assert agree_on_count([], lambda n: 2) == [[], []]


def test_responses_to_a_prompt_stay_together() -> None:
    batches = make_micro_batches([5, 9, 7, 3, 9, 1], ["a", "b", "a", "b", "c", "a"], max_sequences=3)
    assert batches == [[1, 3, 4], [2, 0, 5]]
    assert make_micro_batches([5, 9, 7, 3], ["a", "b", "a", "b"], max_tokens=18) == [[1, 3], [2, 0]]


@pytest.mark.parametrize("seed", range(20))
def test_a_budget_of_packed_rows_counts_no_padding(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(1, 100) for _ in range(rng.randint(1, 40))]
    budget = rng.randint(100, 400)
    batches = make_micro_batches(lengths, max_tokens=budget, packed=True)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in b) <= budget for b in batches)
    assert len(batches) <= len(make_micro_batches(lengths, max_tokens=budget))


def test_packed_rows_fit_more_into_a_budget() -> None:
    assert make_micro_batches([9, 1, 1, 1], max_tokens=12) == [[0], [1, 2, 3]]
    assert make_micro_batches([9, 1, 1, 1], max_tokens=12, packed=True) == [[0, 1, 2, 3]]


def test_micro_batches_of_a_budget_weigh_about_the_same() -> None:
    """Filling up one after the other would leave 90 tokens, 90 and 20."""
    batches = make_micro_batches([10] * 20, max_tokens=95, packed=True)
    assert [len(b) for b in batches] == [7, 7, 6]
