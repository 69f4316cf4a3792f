"""Statistics of a step: right values, and the same however the step is split."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.algorithms.kl import kl_estimate
from engine.algorithms.losses import ppo_clip
from engine.algorithms.stats import StatsAccumulator, add_policy_stats


def alone(tensor: Tensor) -> Tensor:
    return tensor


def joined(
    accumulators: list[StatsAccumulator],
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Reductions for the last of several ranks: the others reduce first and leave their tensors."""
    sums: list[Tensor] = []
    maxima: list[Tensor] = []
    for other in accumulators[:-1]:
        other.reduce(lambda t: sums.append(t) or t, lambda t: maxima.append(t) or t)
    return (
        lambda t: torch.stack([*sums, t]).sum(0),
        lambda t: torch.stack([*maxima, t]).amax(0),
    )


def test_by_hand() -> None:
    stats = StatsAccumulator()
    stats.add_mean("a", 3.0, 2)
    stats.add_mean("a", torch.tensor(6.0, requires_grad=True), torch.tensor(1))
    stats.add_mean("nothing", 0.0, 0)
    stats.add_sum("total", 0.25)
    stats.add_sum("total", 0.5)
    stats.add_max("most", -2.0)
    stats.add_max("most", -5.0)
    stats.add_max("none", -math.inf)
    stats.add_max("broken", 1.0)
    stats.add_max("broken", math.nan)
    result = stats.reduce(alone, alone)
    assert result == pytest.approx(
        {"a": 3.0, "nothing": math.nan, "total": 0.75, "most": -2.0, "none": math.nan, "broken": math.inf},
        nan_ok=True,
    )
    assert stats.reduce(alone, alone) == {}


def test_ranks_are_joined_whatever_order_they_added_in() -> None:
    a, b = StatsAccumulator(), StatsAccumulator()
    a.add_mean("x", 1.0, 1)
    a.add_mean("y", 10.0, 2)
    a.add_max("m", 4.0)
    b.add_max("m", 3.0)
    b.add_mean("y", 2.0, 1)
    b.add_mean("x", 5.0, 3)
    assert b.reduce(*joined([a, b])) == {"x": 1.5, "y": 4.0, "m": 4.0}


def step(rows: int = 5, width: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([6, 0, 2, 5, 1])
    names = ("logprobs", "old_logprobs", "engine_logprobs", "ref_logprobs", "entropy")
    data = {name: -torch.rand(rows, width, generator=generator, dtype=torch.float64) for name in names}
    data["advantages"] = torch.randn(rows, generator=generator, dtype=torch.float64)
    data["mask"] = torch.arange(width) < lengths[:, None]
    for name in names:
        data[name][~data["mask"]] = math.nan
    return data


def add(stats: StatsAccumulator, data: dict[str, Tensor]) -> None:
    mask = data["mask"]
    policy = ppo_clip(
        data["logprobs"], data["old_logprobs"], data["advantages"], mask, clip_low=0.2, clip_high=0.3
    )
    add_policy_stats(
        stats,
        policy,
        mask,
        policy_loss=policy.token_loss.sum() / 5,
        logprobs=data["logprobs"],
        old_logprobs=data["old_logprobs"],
        engine_logprobs=data["engine_logprobs"],
        kl=kl_estimate(data["logprobs"], data["ref_logprobs"], mask, "k2"),
        entropy=data["entropy"],
        tis_cap=1.1,
    )


def test_policy_stats_against_plain_means() -> None:
    data = step()
    stats = StatsAccumulator()
    add(stats, data)
    mask = data["mask"]
    new, old, engine, ref = (
        data[k][mask] for k in ("logprobs", "old_logprobs", "engine_logprobs", "ref_logprobs")
    )
    advantage = data["advantages"][:, None].expand_as(mask)[mask]
    ratio = (new - old).exp()
    expected = {
        "policy_loss": torch.max(-ratio * advantage, -ratio.clamp(0.8, 1.3) * advantage).sum() / 5,
        "ratio_mean": ratio.mean(),
        "ratio_max": ratio.max(),
        "clip_fraction_low": ((ratio < 0.8) & (advantage < 0)).double().mean(),
        "clip_fraction_high": ((ratio > 1.3) & (advantage > 0)).double().mean(),
        "approx_kl": (ratio - 1 - ratio.log()).mean(),
        "kl": ((new - ref) ** 2 / 2).mean(),
        "entropy": data["entropy"][mask].mean(),
        "logprob_diff_mean": (old - engine).abs().mean(),
        "logprob_diff_max": (old - engine).abs().max(),
        "tis_weight_mean": (old - engine).exp().clamp(max=1.1).mean(),
    }
    assert expected["clip_fraction_low"] > 0
    assert expected["clip_fraction_high"] > 0
    assert stats.reduce(alone, alone) == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-12)


@pytest.mark.parametrize("ranks", [[[0, 1, 2, 3, 4]], [[0, 4], [2, 1], [3]], [[1], [0, 2, 3, 4]]])
def test_policy_stats_do_not_depend_on_the_split(ranks) -> None:
    """Each rank adds its sequences one by one; a rank may hold nothing but an empty response."""
    data = step()
    whole = StatsAccumulator()
    add(whole, data)
    accumulators = []
    for rows in ranks:
        accumulators.append(StatsAccumulator())
        for row in rows:
            width = int(data["mask"][row].sum())
            part = {k: v[row : row + 1] for k, v in data.items()}
            part = {k: v[:, :width] if v.dim() == 2 else v for k, v in part.items()}
            add(accumulators[-1], part)
    result = accumulators[-1].reduce(*joined(accumulators))
    assert result == pytest.approx(whole.reduce(alone, alone), rel=1e-12)
