"""Advantage estimators: by hand, against numpy, and groups that must not speak."""

import itertools

import numpy as np
import pytest
import torch

from engine.algorithms.advantages import ESTIMATORS, dr_grpo, group_norm, rloo, zero_variance

ALL = [pytest.param(e.advantages, id=name) for name, e in ESTIMATORS.items()]


def test_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [3.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    std = (1 / 3) ** 0.5
    torch.testing.assert_close(
        group_norm(rewards),
        torch.tensor(
            [
                [0.5 / (std + 1e-6), -0.5 / (std + 1e-6), -0.5 / (std + 1e-6), 0.5 / (std + 1e-6)],
                [1.5 / (1 + 1e-6), -0.5 / (1 + 1e-6), -0.5 / (1 + 1e-6), -0.5 / (1 + 1e-6)],
            ],
            dtype=torch.float64,
        ),
        rtol=1e-14,
        atol=0,
    )
    assert dr_grpo(rewards).tolist() == [[0.5, -0.5, -0.5, 0.5], [1.5, -0.5, -0.5, -0.5]]
    torch.testing.assert_close(
        rloo(rewards),
        torch.tensor([[2 / 3, -2 / 3, -2 / 3, 2 / 3], [2, -2 / 3, -2 / 3, -2 / 3]], dtype=torch.float64),
    )


def test_against_numpy() -> None:
    rewards = np.random.default_rng(0).normal(size=(50, 5))
    mean, std = rewards.mean(1, keepdims=True), rewards.std(1, ddof=1, keepdims=True)
    others = np.stack([np.delete(rewards, i, axis=1).mean(1) for i in range(5)], axis=1)
    tensor = torch.from_numpy(rewards)
    np.testing.assert_allclose(group_norm(tensor).numpy(), (rewards - mean) / (std + 1e-6), rtol=1e-11)
    np.testing.assert_allclose(dr_grpo(tensor).numpy(), rewards - mean, atol=1e-14)
    np.testing.assert_allclose(rloo(tensor).numpy(), rewards - others, atol=1e-14)


@pytest.mark.parametrize("estimate", ALL)
def test_zero_variance_is_exactly_zero(estimate) -> None:
    same = torch.tensor(
        [
            [0.1 + 0.2, 0.3, 0.3],  # differ by rounding
            [1e6 + 0.5, 1e6, 1e6],  # differ by less than 1e-6 of their size
            [0.7, 0.7, 0.7],  # whose mean is not exactly 0.7
            [0.0, 0.0, 0.0],
            [5e-7, 0.0, 0.0],
            [1.0, 0.0, 0.0],
            [2e-6, 0.0, 0.0],
        ],
        dtype=torch.float64,
    )
    assert same[0, 0] != same[0, 1]
    assert zero_variance(same).tolist() == [True] * 5 + [False] * 2
    advantages = estimate(same)
    assert (advantages[:5] == 0).all()
    assert (advantages[5:] != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("estimate", ALL)
def test_properties(estimate, dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    for groups, n in itertools.product((1, 7), (2, 3, 8)):
        rewards = torch.randn(groups, n, generator=generator, dtype=torch.float64).to(dtype)
        advantages = estimate(rewards)
        assert advantages.dtype == dtype
        assert advantages.shape == rewards.shape
        tolerance = 1e-6 if dtype == torch.float32 else 1e-2 if dtype == torch.bfloat16 else 1e-13
        assert advantages.double().sum(1).abs().max() < n * tolerance
        order = torch.randperm(n, generator=generator)
        torch.testing.assert_close(
            estimate(rewards[:, order]), advantages[:, order], rtol=tolerance, atol=tolerance
        )
        torch.testing.assert_close(estimate(rewards.flip(0)), advantages.flip(0), rtol=0, atol=0)
        if dtype == torch.float64:
            torch.testing.assert_close(estimate(rewards + 3), advantages, rtol=1e-9, atol=1e-12)


def test_group_norm_ignores_scale() -> None:
    rewards = torch.randn(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(group_norm(rewards * 100), group_norm(rewards), rtol=1e-5, atol=0)


@pytest.mark.parametrize("estimate", ALL)
def test_one_response_per_group_is_refused(estimate) -> None:
    with pytest.raises(ValueError, match="n_samples_per_prompt must be at least 2, got 1"):
        estimate(torch.zeros(3, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("estimate", ALL)
def test_rewards_that_are_not_finite_are_refused(estimate, bad) -> None:
    with pytest.raises(ValueError, match="response 1 in group 2 is not finite"):
        estimate(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, bad]]))


@pytest.mark.parametrize("rewards", [torch.zeros(3), torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 0)])
@pytest.mark.parametrize("estimate", ALL)
def test_other_shapes_and_types_are_refused(estimate, rewards) -> None:
    with pytest.raises(ValueError, match="rewards must be floats"):
        estimate(rewards)


def test_default_aggregation() -> None:
    assert {name: e.loss_agg for name, e in ESTIMATORS.items()} == {
        "group_norm": "seq-mean-token-mean",
        "dr_grpo": "token-sum-norm",
        "rloo": "seq-mean-token-sum",
    }
