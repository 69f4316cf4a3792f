"""Alerts that a step's metrics call for."""

import math

from engine.config.sections import RunConfig
from engine.step_check import findings_of, out_of_sync_limit

GOOD = {
    "sync/logprob_diff_mean": 5e-5,
    "sync/logprob_diff_max": 1e-3,
    "grad/norm": 1.0,
    "policy/loss": 0.1,
    "policy/ratio_max": 1.0,
}


def limit(bf16: bool, **rollout: str) -> float:
    return out_of_sync_limit(RunConfig.model_validate({"model": {"bf16": bf16}, "rollout": rollout}))


def ids(bf16: bool = False, **changed: float) -> list[str]:
    metrics = GOOD | {k.replace("__", "/"): v for k, v in changed.items()}
    return [f.id for f in findings_of(metrics, limit(bf16))]


def test_a_good_step_has_none() -> None:
    assert ids() == ids(bf16=True) == []


def test_the_limit_depends_on_precision() -> None:
    assert ids(sync__logprob_diff_mean=1e-3) == ["engine.weights-out-of-sync"]
    assert ids(bf16=True, sync__logprob_diff_mean=1e-3) == []
    assert ids(bf16=True, sync__logprob_diff_mean=0.05) == ["engine.weights-out-of-sync"]
    assert ids(sync__logprob_diff_mean=math.nan) == ["engine.weights-out-of-sync"]


def test_a_quantized_engine_may_differ_more() -> None:
    assert limit(True, engine_type="vllm", engine_quantization="fp8") > limit(True, engine_type="vllm")
    assert limit(True, engine_type="hf", engine_quantization="fp8") == limit(True)


def test_a_gradient_that_is_not_finite() -> None:
    assert ids(grad__norm=math.nan) == ids(grad__norm=math.inf) == ["train.gradient-not-finite"]
