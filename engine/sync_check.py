"""Does the engine sample from the weights the trainer trains? Their log-probabilities must agree."""

from engine.findings import Finding, Fix

LIMIT_BF16 = 0.02
LIMIT_FP32 = 1e-4


def sync_finding(metrics: dict[str, float], *, bf16: bool) -> Finding | None:
    """A finding when the mean |trainer − engine| log-prob difference of a step is too large to be rounding.

    Limits: 0.02 nats in bfloat16, 1e-4 in float32.
    """
    difference = metrics["sync/logprob_diff_mean"]
    limit = LIMIT_BF16 if bf16 else LIMIT_FP32
    if difference <= limit:
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
