"""What the metrics say is going wrong with the learning, whatever the machines do.

Names of metrics are those of `engine.metrics`. Thresholds hold over several steps, so that one odd batch
raises nothing.
"""

from collections.abc import Iterator
from math import inf, isfinite
from statistics import median

from diagnostics.health.observed import Observed
from engine.config.batch import generate_max_len
from engine.config.sections import RunConfig
from engine.findings import Finding, Fix

STEPS = 10
"""Steps that a state must last."""
SPIKE, SPIKE_STEPS = 10.0, 50
"""A gradient norm this many times the median of so many steps."""
ZERO_VARIANCE, TRUNCATED, ENTROPY_LEFT = 0.8, 0.5, 0.1
RISEN = 0.1
"""More mean reward than in the first steps."""
KL_LIMIT = 1.0
"""Nats per token; a policy that far from its reference has left it (healthy runs stay below 0.1)."""


def training(seen: Observed, config: RunConfig) -> Iterator[Finding]:
    """Findings of the newest steps."""
    yield from _not_finite(seen)
    yield from _gradient_spike(seen)
    yield from _no_variance(seen, config.batch.rollout_batch_size)
    yield from _constant_reward(seen)
    yield from _truncated(seen, generate_max_len(config))
    yield from _entropy(seen, config)
    yield from _kl(seen, config)


def _not_finite(seen: Observed) -> Iterator[Finding]:
    first = seen.not_finite
    if first is None:
        return
    yield Finding(
        id="train.not-finite",
        severity="error",
        cause=f"{first.metric} was no finite number at step {first.step}, the first of all metrics to be so.",
        evidence=(_norms(seen),) if seen.metrics.get("grad/norm") else (),
        fixes=(
            Fix("go back to a checkpoint before that step and lower actor_learning_rate"),
            Fix("train in bfloat16 rather than float16, and clip gradients", set={"optim.max_norm": 1.0}),
            Fix("clip rewards, if they can be huge", set={"reward.reward_clip": 10.0}),
        ),
    )


def _norms(seen: Observed) -> str:
    newest = ", ".join(f"{value:.3g}" for _, value in list(seen.metrics["grad/norm"])[-5:])
    return f"grad/norm of the last steps: {newest}"


def _gradient_spike(seen: Observed) -> Iterator[Finding]:
    norms = [value for _, value in seen.metrics.get("grad/norm", ())]
    before = list(filter(isfinite, norms[-SPIKE_STEPS - 1 : -1]))
    if len(before) < STEPS:
        return
    usual = median(before)
    if usual > 0 and SPIKE * usual < norms[-1] < inf:
        yield Finding(
            id="train.gradient-spike",
            severity="warning",
            cause=f"the gradient norm is {norms[-1]:.3g} at step {seen.step}, "
            f"{norms[-1] / usual:.0f} times the median of the steps before ({usual:.3g}).",
            fixes=(
                Fix("look at this step's samples: one odd reward or a very long response is the usual cause"),
                Fix("clip gradients harder", set={"optim.max_norm": max(round(usual, 3), 0.01)}),
                Fix("lower actor_learning_rate"),
            ),
        )


def _no_variance(seen: Observed, groups: int) -> Iterator[Finding]:
    counts = seen.values("rollout/zero_variance_groups", STEPS)
    if not counts or not groups:
        return
    share = min(counts) / groups
    if share <= ZERO_VARIANCE:
        return
    reward = seen.values("reward/mean", 1)
    level = f", at a mean reward of {reward[-1]:.3g}" if reward else ""
    solved = _has_risen(seen)
    yield Finding(
        id="train.no-reward-variance",
        severity="info" if solved else "warning",
        cause=f"in each of the last {STEPS} steps at least {share:.0%} of the groups had the same reward "
        f"for all their responses{level}: they teach nothing{' more' if solved else ''}.",
        evidence=(f"{counts[-1]:.0f} of {groups} groups at step {seen.step}",),
        fixes=(
            Fix("use prompts that the model solves sometimes: neither always nor never"),
            Fix("sample more responses per prompt (n_samples_per_prompt)"),
            Fix("see what the reward says of recorded responses", command="rft reward test"),
        ),
    )


def _constant_reward(seen: Observed) -> Iterator[Finding]:
    means, spreads = seen.values("reward/mean", STEPS), seen.values("reward/std", STEPS)
    if means and spreads and max(spreads) == 0 and len(set(means)) == 1:
        yield Finding(
            id="train.constant-reward",
            severity="warning",
            cause=f"every response of the last {STEPS} steps got the reward {means[-1]:g}.",
            fixes=(
                Fix("see what the reward says of recorded responses", command="rft reward test"),
                Fix("look whether labels reach the reward: label_key, and the column of the data"),
                Fix("look whether responses hold what the reward looks for, such as \\boxed{}"),
            ),
        )


def _truncated(seen: Observed, limit: int) -> Iterator[Finding]:
    shares = seen.values("response/truncated", STEPS)
    if shares and min(shares) > TRUNCATED:
        yield Finding(
            id="train.all-truncated",
            severity="warning",
            cause=f"more than half of all responses were cut off at {limit} tokens in each of the last "
            f"{STEPS} steps ({shares[-1]:.0%} at step {seen.step}): their rewards judge half an answer.",
            fixes=(
                Fix("allow longer responses", set={"rollout.generate_max_len": 2 * limit}),
                Fix("penalise length before the limit", set={"reward.overlong_buffer_len": limit // 4}),
            ),
        )


def _entropy(seen: Observed, config: RunConfig) -> Iterator[Finding]:
    entropies, first = seen.values("policy/entropy", STEPS), seen.first.get("policy/entropy", [])
    start = median(first) if first else 0.0
    if not entropies or start <= 0 or max(entropies) >= ENTROPY_LEFT * start or _has_risen(seen):
        return
    yield Finding(
        id="train.entropy-collapse",
        severity="warning",
        cause=f"the entropy fell from {start:.3g} to {entropies[-1]:.3g} nats per token while the reward did "
        "not rise: the model answers nearly always the same, and finds nothing new.",
        fixes=(
            Fix("lower actor_learning_rate", set={"optim.actor_learning_rate": _half(config)}),
            Fix("let rare tokens grow more (clip higher)", set={"algorithm.clip_range_higher": 0.28}),
            Fix("hold it to the reference: raise init_kl_coef"),
        ),
    )


def _kl(seen: Observed, config: RunConfig) -> Iterator[Finding]:
    values, first = seen.values("kl/ref", STEPS), seen.first.get("kl/ref", [])
    if not values or min(values) <= max(KL_LIMIT, 10 * median(first or [0.0])):
        return
    yield Finding(
        id="train.kl-runaway",
        severity="warning",
        cause=f"the policy is {values[-1]:.3g} nats per token from its reference, above {KL_LIMIT:g} for "
        f"{STEPS} steps: it has left what it knew.",
        fixes=(
            Fix("raise init_kl_coef, or set kl_target so that it adapts"),
            Fix("lower actor_learning_rate", set={"optim.actor_learning_rate": _half(config)}),
            Fix("look at the samples: such policies often exploit a hole in the reward"),
        ),
    )


def _has_risen(seen: Observed) -> bool:
    """Whether the reward is clearly above where it began: low entropy and equal rewards are then success."""
    newest, first = seen.values("reward/mean", STEPS), seen.first.get("reward/mean", [])
    return bool(newest and first) and median(newest) - median(first) > RISEN


def _half(config: RunConfig) -> float:
    return float(f"{config.optim.actor_learning_rate / 2:.3g}")
