"""What a step's metrics already show to be wrong, as findings for an alert."""

import math

from engine.findings import Finding, Fix

# Mean |trainer − engine| log-prob difference in nats per token that rounding explains.
LIMIT_BF16 = 0.02
LIMIT_FP32 = 1e-4


def findings_of(metrics: dict[str, float], *, bf16: bool) -> list[Finding]:
    """Findings of one optimizer step: weights out of sync, gradient not finite."""
    found = (_out_of_sync(metrics, LIMIT_BF16 if bf16 else LIMIT_FP32), _not_finite(metrics))
    return [finding for finding in found if finding is not None]


def _out_of_sync(metrics: dict[str, float], limit: float) -> Finding | None:
    """Does the engine sample from the weights the trainer trains? Their log-probabilities must agree."""
    difference = metrics["sync/logprob_diff_mean"]
    if difference <= limit:  # not NaN
        return None
    return Finding(
        id="engine.weights-out-of-sync",
        severity="warning",
        cause=f"Engine and trainer log-probabilities differ by {difference:.2g} nats per token on average "
        f"(limit {limit:g}): the engine samples from other weights or other numerics.",
        evidence=(f"largest difference {metrics['sync/logprob_diff_max']:.2g} nats",),
        fixes=(
            Fix("Correct for it with a truncated importance weight.", set={"algorithm.tis_cap": 2.0}),
            Fix("Rule out numerics: run some steps in float32.", set={"model.bf16": False}),
        ),
    )


def _not_finite(metrics: dict[str, float]) -> Finding | None:
    norm = metrics["grad/norm"]
    if math.isfinite(norm):
        return None
    return Finding(
        id="train.gradient-not-finite",
        severity="warning",
        cause=f"The gradient norm is {norm}: the optimizer step was skipped on all ranks.",
        evidence=(f"policy/loss {metrics['policy/loss']:.4g}, ratio_max {metrics['policy/ratio_max']:.4g}",),
        fixes=(
            Fix("Lower actor_learning_rate."),
            Fix("Clip rewards, if they can be huge.", set={"reward.reward_clip": 10.0}),
        ),
    )
