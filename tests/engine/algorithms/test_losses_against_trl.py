"""Our loss against TRL's: its own `_compute_loss`, run on given log-probs instead of a model.

Only what `_compute_loss` reads of its trainer is provided; the formulas that run are TRL's.
"""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.algorithms.kl import kl_loss
from engine.algorithms.losses import LossAgg, ppo_clip, token_weights, truncated_importance_weight
from engine.algorithms.stats import StatsAccumulator, add_policy_stats

grpo_trainer = pytest.importorskip("trl.trainer.grpo_trainer")

MAX_LEN = 12
LOW, HIGH, BETA = 0.2, 0.28, 0.04


def trl_loss(
    logprobs: Tensor, data: dict[str, Tensor], loss_type: str, *, delta: float | None, tis: bool
) -> tuple[Tensor, dict[str, list[float]]]:
    """TRL's loss of one batch on one process, and the metrics it logs with it."""
    metrics: dict[str, list[float]] = defaultdict(list)
    trainer: Any = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, data["entropy"], None),
        accelerator=SimpleNamespace(
            num_processes=1, reduce=lambda x, reduction: x, gather=lambda x: x, sync_gradients=True
        ),
        args=SimpleNamespace(delta=delta, use_bias_correction_kl=False, steps_per_generation=1),
        model=SimpleNamespace(training=True),
        _metrics={"train": metrics},
        loss_type=loss_type,
        importance_sampling_level="token",
        beta=BETA,
        epsilon_low=LOW,
        epsilon_high=HIGH,
        max_completion_length=MAX_LEN,
        current_gradient_accumulation_steps=1,
        use_vllm=tis,
        vllm_importance_sampling_correction=True,
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        _entropy_bonus_enabled=False,
    )
    mask = data["mask"].long()
    ids = torch.zeros_like(mask)
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": ids,
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": data["advantages"],
        "old_per_token_logps": data["old_logprobs"],
        "ref_per_token_logps": data["ref_logprobs"],
        "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": (data["old_logprobs"] - data["engine_logprobs"]).exp().clamp(max=1.5),
    }
    return grpo_trainer.GRPOTrainer._compute_loss(trainer, trainer.model, inputs), metrics


def our_loss(
    logprobs: Tensor, data: dict[str, Tensor], loss_agg: LossAgg, *, dual_clip: float | None, tis: bool
) -> tuple[Tensor, dict[str, float]]:
    """The same from this package: what the trainer does with one micro-batch."""
    mask = data["mask"]
    policy = ppo_clip(
        logprobs,
        data["old_logprobs"],
        data["advantages"],
        mask,
        clip_low=LOW,
        clip_high=HIGH,
        dual_clip=dual_clip,
    )
    token_loss = policy.token_loss
    if tis:
        token_loss = token_loss * truncated_importance_weight(
            data["old_logprobs"], data["engine_logprobs"], mask, 1.5
        )
    kl = kl_loss(logprobs, data["ref_logprobs"], mask, "k3")
    weights = token_weights(
        mask,
        loss_agg,
        n_sequences=len(mask),
        n_tokens=mask.sum().item(),
        generate_max_len=MAX_LEN,
        dtype=torch.float64,
    )
    loss = (weights * (token_loss + BETA * kl)).sum()
    stats = StatsAccumulator()
    add_policy_stats(
        stats,
        policy,
        mask,
        policy_loss=(weights * token_loss).sum(),
        logprobs=logprobs,
        old_logprobs=data["old_logprobs"],
        engine_logprobs=data["engine_logprobs"],
        kl=kl,
        entropy=data["entropy"],
        tis_cap=None,
    )
    return loss, stats.reduce(lambda t: t, lambda t: t)


def random_batch(seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    rows, width = 8, 10
    logprobs, old, ref, engine, entropy = -3 * torch.rand(
        5, rows, width, generator=generator, dtype=torch.float64
    )
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    return logprobs, {
        "old_logprobs": old,
        "ref_logprobs": ref,
        "engine_logprobs": engine,
        "entropy": -entropy,
        "advantages": torch.randn(rows, generator=generator, dtype=torch.float64),
        "mask": torch.arange(width) < lengths[:, None],
    }


@pytest.mark.parametrize("tis", [False, True], ids=["", "tis"])
@pytest.mark.parametrize("dual_clip", [None, 3.0], ids=["", "dual-clip"])
@pytest.mark.parametrize(
    ("loss_type", "loss_agg"),
    [
        ("grpo", "seq-mean-token-mean"),
        ("bnpo", "token-mean"),
        ("dapo", "token-mean"),
        ("luspo", "seq-mean-token-sum"),
        ("dr_grpo", "token-sum-norm"),
    ],
)
def test_loss_gradient_and_metrics(loss_type, loss_agg, dual_clip, tis) -> None:
    """TRL's `delta` caps the ratio from above, which for negative advantages is the dual clip."""
    for seed in range(5):
        logprobs, data = random_batch(seed)
        x, y = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
        theirs, metrics = trl_loss(x, data, loss_type, delta=dual_clip, tis=tis)
        ours, stats = our_loss(y, data, loss_agg, dual_clip=dual_clip, tis=tis)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
        theirs.backward()
        ours.backward()
        torch.testing.assert_close(y.grad, x.grad, rtol=1e-10, atol=1e-14)
        for name, metric in {
            "clip_fraction_low": "clip_ratio/low_mean",
            "clip_fraction_high": "clip_ratio/high_mean",
            "kl": "kl",
            "entropy": "entropy",
        }.items():
            assert stats[name] == pytest.approx(metrics[metric][0], rel=1e-6)
        assert stats["clip_fraction_low"] > 0
        assert stats["clip_fraction_high"] > 0


def test_the_dual_clip_is_seen_by_the_comparison() -> None:
    logprobs, data = random_batch(0)
    plain, _ = trl_loss(logprobs, data, "grpo", delta=None, tis=False)
    capped, _ = trl_loss(logprobs, data, "grpo", delta=3.0, tis=False)
    assert abs(plain - capped) > 1e-3
