"""After a run ran out of memory, settings are proposed that need clearly less; own ones stay if they can."""

from typing import Any

import pytest

from diagnostics.hardware import Hardware, detect
from diagnostics.nvml import Nvml
from engine.config.load import Layer, Resolved, examine, layer_from_sets
from engine.footprint.speed import Lengths
from rftui.plan import after_failure
from rftui.plan.after_failure import what_would_fit
from rftui.plan.planner import evaluate
from tests.diagnostics.fake_nvml import H100, FakeNvml

MODEL = "model.pretrain=Qwen/Qwen2.5-7B-Instruct"
GIVEN = ("rollout.engine_type=vllm", "rollout.max_len=4096", "batch.rollout_batch_size=128")


@pytest.fixture
def hardware(monkeypatch: pytest.MonkeyPatch) -> Hardware:
    found = detect(Nvml(FakeNvml([H100] * 8)), environ={})
    return Hardware(
        **{f: getattr(found, f) for f in found.__struct_fields__}
        | {"memory_available": 2 * 10**12, "memory_total": 2 * 10**12}
    )


def resolved(*sets: str) -> Resolved:
    return examine([layer_from_sets([MODEL, *GIVEN, *sets])]).resolved


def peak(run: Resolved, values: dict[str, Any], hardware: Hardware) -> int:
    request = after_failure.request_here(
        examine([layer_from_sets([]), Layer("x", flat(run) | values)]).resolved,
        after_failure.find_model(run.config.model.pretrain),
        after_failure.detected_place(hardware, 8)[0],
        None,
    )
    assert isinstance(request.lengths, Lengths)
    return evaluate(request).footprint.peak


def flat(run: Resolved) -> dict[str, Any]:
    from engine.config.registry import value_of

    return {key: value_of(run.config, key) for key in run.sources}


def test_what_is_open_is_chosen_so_that_clearly_less_is_needed(hardware: Hardware) -> None:
    run = resolved()
    fix = what_would_fit(run, 8, hardware, "device")
    assert fix is not None and fix.set
    assert not fix.set.keys() & run.sources.keys()
    before, after = peak(run, {}, hardware), peak(run, fix.set, hardware)
    assert after <= 0.85 * before


def test_own_values_give_way_where_nothing_else_is_left(hardware: Hardware) -> None:
    run = resolved(
        "memory.gradient_checkpointing=true",
        "memory.fused_linear_logprob=true",
        "memory.adam_offload=false",
        "memory.fsdp_cpu_offload=false",
        "parallel.fsdp=true",
        "rollout.engine_tp_size=1",
        "rollout.engine_mem_util=0.85",
        "batch.micro_train_batch_size=16",
        "batch.micro_rollout_batch_size=16",
    )
    fix = what_would_fit(run, 8, hardware, "device")
    assert fix is not None and fix.set.keys() & run.sources.keys()
    assert peak(run, fix.set, hardware) <= 0.85 * peak(run, {}, hardware)


def test_a_model_that_is_not_known_is_not_planned_for(hardware: Hardware) -> None:
    run = examine([layer_from_sets(["model.pretrain=somebody/unheard-of"])]).resolved
    assert what_would_fit(run, 8, hardware, "device") is None
