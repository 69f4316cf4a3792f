"""PPO's clip, importance weights and the four aggregations: by hand, and their invariances."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from engine.algorithms.losses import LossAgg, ppo_clip, token_weights, truncated_importance_weight
from engine.config.sections import AlgorithmSection

AGGREGATIONS: tuple[LossAgg, ...] = get_args(LossAgg)
CLIP = {"clip_low": 0.2, "clip_high": 0.28}


def batch(seed: int = 0, rows: int = 6, width: int = 7, spread: float = 0.5) -> dict[str, Tensor]:
    """Random float64 log-probs, advantages of both signs, and lengths from 0 (first row) to `width`."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    lengths[0], lengths[1] = 0, width
    return {
        "logprobs": -torch.rand(rows, width, generator=generator, dtype=torch.float64) * 3,
        "old_logprobs": -torch.rand(rows, width, generator=generator, dtype=torch.float64) * 3 * spread,
        "advantages": torch.randn(rows, generator=generator, dtype=torch.float64),
        "mask": torch.arange(width) < lengths[:, None],
    }


def step_loss(data: dict[str, Tensor], loss_agg: LossAgg, *, n_sequences: float, n_tokens: float) -> Tensor:
    token_loss = ppo_clip(**data, **CLIP, dual_clip=3.0).token_loss
    weights = token_weights(
        data["mask"],
        loss_agg,
        n_sequences=n_sequences,
        n_tokens=n_tokens,
        generate_max_len=10,
        dtype=torch.float64,
    )
    return (weights * token_loss).sum()


@pytest.mark.parametrize(
    ("ratio", "advantage", "dual_clip", "loss", "slope"),
    [
        (1.0, 2.0, None, -2.0, -2.0),
        (1.2, 2.0, None, -2.4, -2.4),
        (1.5, 2.0, None, -2.56, 0.0),
        (0.5, 2.0, None, -1.0, -1.0),
        (0.5, -2.0, None, 1.6, 0.0),
        (0.9, -2.0, None, 1.8, 1.8),
        (5.0, -2.0, None, 10.0, 10.0),
        (5.0, -2.0, 3.0, 6.0, 0.0),
        (2.0, -2.0, 3.0, 4.0, 4.0),
        (5.0, 2.0, 3.0, -2.56, 0.0),
        (1.7, 0.0, None, 0.0, 0.0),
    ],
)
def test_ppo_clip_by_hand(ratio, advantage, dual_clip, loss, slope) -> None:
    """One token: loss, its derivative in the log-prob, and which side was clipped."""
    old = torch.tensor([[-1.0]], dtype=torch.float64)
    logprobs = (old + math.log(ratio)).requires_grad_()
    result = ppo_clip(
        logprobs,
        old,
        torch.tensor([advantage], dtype=torch.float64),
        torch.tensor([[True]]),
        **CLIP,
        dual_clip=dual_clip,
    )
    result.token_loss.sum().backward()
    assert result.token_loss.item() == pytest.approx(loss, abs=1e-12)
    assert logprobs.grad.item() == pytest.approx(slope, abs=1e-12)
    assert result.ratio.item() == pytest.approx(ratio)
    assert result.clipped_low.item() == (ratio < 0.8 and advantage < 0)
    assert result.clipped_high.item() == (ratio > 1.28 and advantage > 0)


def test_advantages_per_sequence_and_per_token_agree() -> None:
    data = batch()
    per_token = {**data, "advantages": data["advantages"][:, None].expand_as(data["mask"])}
    assert torch.equal(ppo_clip(**data, **CLIP).token_loss, ppo_clip(**per_token, **CLIP).token_loss)


def test_gradient_matches_finite_differences() -> None:
    data = batch(seed=3)
    logprobs = data.pop("logprobs").requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: ppo_clip(x, **data, **CLIP, dual_clip=3.0).token_loss, (logprobs,), atol=1e-8
    )


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("loss_agg", AGGREGATIONS)
def test_masked_positions_do_not_leak(loss_agg, poison) -> None:
    clean = batch(seed=4)
    clean["advantages"] = clean["advantages"][:, None].expand_as(clean["mask"])
    mask = clean["mask"]
    results = []
    for fill in (0.0, poison):
        data = {k: v.clone() if k == "mask" else torch.where(mask, v, fill) for k, v in clean.items()}
        data["logprobs"].requires_grad_()
        loss = step_loss(data, loss_agg, n_sequences=6, n_tokens=mask.sum().item())
        loss.backward()
        result = ppo_clip(**data, **CLIP)
        assert (result.token_loss[~mask] == 0).all()
        assert (result.ratio[~mask] == 1).all()
        assert not (result.clipped_low | result.clipped_high)[~mask].any()
        assert (data["logprobs"].grad[~mask] == 0).all()
        results.append((loss.detach(), data["logprobs"].grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][0].isfinite()


def test_a_huge_ratio_stays_finite() -> None:
    logprobs = torch.tensor([[-0.1]], requires_grad=True)
    for advantage in (-1.0, 0.0, 1.0):
        loss = ppo_clip(
            logprobs, torch.tensor([[-200.0]]), torch.tensor([advantage]), torch.tensor([[True]]), **CLIP
        )
        (grad,) = torch.autograd.grad(loss.token_loss.sum(), logprobs)
        assert loss.token_loss.isfinite().all()
        assert grad.isfinite().all()


def test_token_weights_by_hand() -> None:
    """Two of three sequences have 3 and 1 tokens; the step has 4 sequences and 8 tokens in all."""
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    expected = {
        "seq-mean-token-mean": [1 / 12, 1 / 4],
        "token-mean": [1 / 8, 1 / 8],
        "seq-mean-token-sum": [1 / 4, 1 / 4],
        "token-sum-norm": [1 / 40, 1 / 40],
    }
    for loss_agg in AGGREGATIONS:
        weights = token_weights(mask, loss_agg, n_sequences=4, n_tokens=8, generate_max_len=10)
        a, b = expected[loss_agg]
        torch.testing.assert_close(weights, torch.tensor([[a, a, a], [b, 0, 0], [0, 0, 0]]))


def test_aggregations_are_the_ones_of_the_configuration() -> None:
    literal, none = get_args(AlgorithmSection.model_fields["loss_agg"].annotation)
    assert none is type(None)
    assert get_args(literal) == AGGREGATIONS


def test_aggregation_errors() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="unknown loss_agg 'mean'"):
        token_weights(mask, "mean", n_sequences=1, n_tokens=1, generate_max_len=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole step, got 0"):
        token_weights(mask, "token-mean", n_sequences=0, n_tokens=0, generate_max_len=1)


@pytest.mark.parametrize("loss_agg", AGGREGATIONS)
def test_a_step_without_tokens_has_loss_zero(loss_agg) -> None:
    for width in (0, 3):
        mask = torch.zeros(2, width, dtype=torch.bool)
        weights = token_weights(mask, loss_agg, n_sequences=2, n_tokens=0, generate_max_len=5)
        assert torch.equal(weights, torch.zeros(2, width))


@pytest.mark.parametrize("splits", [(3, 3), (1, 5), (2, 2, 2), (1,) * 6])
@pytest.mark.parametrize("loss_agg", AGGREGATIONS)
def test_splitting_into_micro_batches_changes_nothing(loss_agg, splits) -> None:
    data = batch(seed=5)
    totals = {"n_sequences": 6, "n_tokens": data["mask"].sum().item()}
    data["logprobs"].requires_grad_()
    whole = step_loss(data, loss_agg, **totals)
    (whole_grad,) = torch.autograd.grad(whole, data["logprobs"])
    for start, size in zip(torch.tensor((0, *splits)).cumsum(0).tolist(), splits, strict=False):
        part = {key: value[start : start + size] for key, value in data.items()}
        width = int(part["mask"].sum(1).max())
        part = {key: value[:, :width] if value.dim() == 2 else value for key, value in part.items()}
        part_loss = step_loss(part, loss_agg, **totals)
        part_loss.backward()
        whole = whole - part_loss.detach()
    assert abs(whole.item()) < 1e-12
    torch.testing.assert_close(data["logprobs"].grad, whole_grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss_agg", AGGREGATIONS)
def test_order_and_padding_change_nothing(loss_agg) -> None:
    data = batch(seed=6)
    totals = {"n_sequences": 6, "n_tokens": data["mask"].sum().item()}
    loss = step_loss(data, loss_agg, **totals)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    shuffled = {key: value[order] for key, value in data.items()}
    padded = {
        key: torch.nn.functional.pad(value, (0, 5)) if value.dim() == 2 else value
        for key, value in data.items()
    }
    torch.testing.assert_close(step_loss(shuffled, loss_agg, **totals), loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(step_loss(padded, loss_agg, **totals), loss, rtol=1e-12, atol=0)


def test_truncated_importance_weight() -> None:
    trainer = torch.tensor([[-1.0, -1.0, -1.0, math.nan]], dtype=torch.float64, requires_grad=True)
    engine = torch.tensor([[-1.0, -2.0, -0.5, -1.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False]])
    weight = truncated_importance_weight(trainer, engine, mask, 2.0)
    torch.testing.assert_close(weight, torch.tensor([[1.0, 2.0, math.exp(-0.5), 0.0]], dtype=torch.float64))
    assert not weight.requires_grad
    plain = truncated_importance_weight(trainer, engine, mask, None)
    assert plain[0, 1].item() == pytest.approx(math.e)
