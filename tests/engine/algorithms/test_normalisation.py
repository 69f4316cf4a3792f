"""Running reward moments and whitening: against numpy, and the same over any split into ranks."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.algorithms.normalisation import AllReduce, RunningMoments, whiten

T = TypeVar("T")


def alone(tensor: Tensor) -> Tensor:
    return tensor


def on_ranks(work: Sequence[Callable[[AllReduce], T]]) -> list[T]:
    """Run one function per rank in threads that add tensors up like a process group does."""
    barrier = threading.Barrier(len(work), timeout=10)
    shares: dict[int, Tensor] = {}

    def rank(index: int) -> T:
        def all_reduce_sum(tensor: Tensor) -> Tensor:
            shares[index] = tensor
            barrier.wait()
            total = torch.stack([shares[i] for i in range(len(work))]).sum(0)
            barrier.wait()
            return total

        return work[index](all_reduce_sum)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(rank, range(len(work))))


def test_first_batch_is_normalised_by_its_own_moments() -> None:
    rewards = torch.tensor([1.0, 2.0, 4.0, 5.0], dtype=torch.float64)
    std = np.std(rewards.numpy(), ddof=1)
    for minus_mean, expected in ((False, rewards / std), (True, (rewards - 3) / std)):
        moments = RunningMoments(minus_mean=minus_mean)
        moments.update(rewards, alone)
        torch.testing.assert_close(moments.normalise(rewards), expected)


def test_running_moments_are_those_of_all_rewards_seen() -> None:
    rewards = np.random.default_rng(0).normal(1e4, 0.5, size=(9, 8))
    moments = RunningMoments(minus_mean=True)
    for i, batch in enumerate(rewards):
        moments.update(torch.from_numpy(batch).view(2, 4), alone)
        assert moments.mean == pytest.approx(rewards[: i + 1].mean(), rel=1e-12)
        assert moments.std == pytest.approx(rewards[: i + 1].std(ddof=1), rel=1e-9)


def test_running_moments_do_not_depend_on_ranks() -> None:
    rewards = torch.randn(3, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = RunningMoments()
    for batch in rewards:
        whole.update(batch, alone)

    def rank(columns: slice) -> Callable[[AllReduce], RunningMoments]:
        def run(all_reduce_sum: AllReduce) -> RunningMoments:
            moments = RunningMoments()
            for batch in rewards:
                moments.update(batch[columns], all_reduce_sum)
            return moments

        return run

    for moments in on_ranks([rank(slice(0, 5)), rank(slice(5, 5)), rank(slice(5, 12))]):
        assert moments.state_dict() == pytest.approx(whole.state_dict(), rel=1e-12)


def test_running_moments_floor_and_types() -> None:
    moments = RunningMoments()
    moments.update(torch.full((4,), 0.5), alone)
    assert moments.std == 1e-3
    normalised = moments.normalise(torch.tensor([0.5]))
    assert normalised.dtype == torch.float32
    assert normalised.item() == pytest.approx(500)


def test_running_moments_resume() -> None:
    batches = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    straight, first, resumed = RunningMoments(), RunningMoments(), RunningMoments()
    for batch in batches:
        straight.update(batch, alone)
    for batch in batches[:2]:
        first.update(batch, alone)
    resumed.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        resumed.update(batch, alone)
    assert torch.equal(resumed.normalise(batches), straight.normalise(batches))


def masked_values() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(6, 4, generator=generator, dtype=torch.float64) * 3 + 2
    mask = torch.arange(4) < torch.tensor([4, 1, 0, 3, 2, 4])[:, None]
    return values, mask


def test_whiten() -> None:
    values, mask = masked_values()
    inside = values[mask].numpy()
    result = whiten(torch.where(mask, values, torch.nan), mask, alone)
    np.testing.assert_allclose(
        result[mask].numpy(), (inside - inside.mean()) / inside.std(ddof=1), rtol=1e-12
    )
    assert (result[~mask] == 0).all()


def test_whiten_does_not_depend_on_ranks() -> None:
    values, mask = masked_values()

    def rank(rows: slice) -> Callable[[AllReduce], Tensor]:
        return lambda all_reduce_sum: whiten(values[rows], mask[rows], all_reduce_sum)

    parts = on_ranks([rank(slice(0, 2)), rank(slice(2, 3)), rank(slice(3, 6))])
    torch.testing.assert_close(torch.cat(parts), whiten(values, mask, alone), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("values", [[0.1 + 0.2, 0.3, 0.3], [0.0, 0.0, 0.0]])
def test_whitening_what_is_all_alike_gives_zero(values) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(whiten(tensor, torch.ones(3, dtype=torch.bool), alone), torch.zeros_like(tensor))


@pytest.mark.parametrize("n", [0, 1])
def test_whitening_fewer_than_two_values_gives_zero(n) -> None:
    mask = torch.arange(4) < n
    assert torch.equal(whiten(torch.full((4,), 7.0), mask, alone), torch.zeros(4))
