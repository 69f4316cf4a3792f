"""What a step already shows to be wrong: findings for an alert, or for an end before anything is trained."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.config.choices import engine_name
from engine.config.sections import RunConfig
from engine.data.experience import Experience
from engine.findings import EXIT_RUN_FAILED, Finding, FindingsError, Fix, Severity
from engine.strategy import Strategy

# Mean |trainer − engine| log-prob difference in nats per token that rounding explains.
LIMIT_FP32 = 1e-4
LIMIT_BF16 = 0.02
LIMIT_FP8 = 0.1
ABORT = 5
"""A first step that is off by this many limits samples from other weights: nothing is trained on it."""


def out_of_sync_limit(config: RunConfig) -> float:
    """What the numerics of trainer and engine explain, in nats per token."""
    if config.rollout.engine_quantization == "fp8" and engine_name(config) != "hf":
        return LIMIT_FP8
    return LIMIT_BF16 if config.model.bf16 else LIMIT_FP32


def check_sync(
    logprobs: Sequence[Tensor], experiences: Sequence[Experience], config: RunConfig, strategy: Strategy
) -> None:
    """Compare the trainer's log-probs of some responses, as sampled, with the engine's. Collective.

    Raises FindingsError (engine.weights-out-of-sync, on every rank) where they are too far apart to train on.
    """
    differences = [(row - e.engine_logprobs).abs() for row, e in zip(logprobs, experiences, strict=True)]
    count = sum(len(d) for d in differences)
    total = sum(float(d.double().sum()) for d in differences)
    largest = max((float(d.max()) for d in differences if len(d)), default=0.0)
    total, count = strategy.all_reduce(torch.tensor([total, count], dtype=torch.float64), "sum").tolist()
    largest = strategy.all_reduce_number(largest, "max")
    limit = ABORT * out_of_sync_limit(config)
    difference = total / max(count, 1)
    if not difference <= limit:  # NaN is too far as well
        raise FindingsError([_out_of_sync("error", difference, largest, limit)], EXIT_RUN_FAILED)


def findings_of(metrics: dict[str, float], limit: float) -> list[Finding]:
    """Findings of one optimizer step: weights out of sync (`limit`: nats per token), gradient not finite."""
    found = [_not_finite(metrics)]
    difference = metrics["sync/logprob_diff_mean"]
    if not difference <= limit:  # NaN is too far as well
        found.append(_out_of_sync("warning", difference, metrics["sync/logprob_diff_max"], limit))
    return [finding for finding in found if finding is not None]


def _out_of_sync(severity: Severity, difference: float, largest: float, limit: float) -> Finding:
    """Does the engine sample from the weights the trainer trains? Their log-probabilities must agree."""
    fixes = (
        Fix("Correct for it with a truncated importance weight.", set={"algorithm.tis_cap": 2.0}),
        Fix("Rule out numerics: run some steps in float32.", set={"model.bf16": False}),
    )
    rule_out = (Fix("Rule out the engine: sample with transformers.", set={"rollout.engine_type": "hf"}),)
    return Finding(
        id="engine.weights-out-of-sync",
        severity=severity,
        cause=f"Engine and trainer log-probabilities differ by {difference:.2g} nats per token on average "
        f"(limit {limit:g}): the engine samples from other weights or other numerics.",
        evidence=(f"largest difference {largest:.2g} nats",),
        fixes=fixes if severity == "warning" else (*rule_out, *fixes[1:]),
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
