"""The planner's choices: what was given stays, what is chosen fits, passes the rules, and is the fastest."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from engine.config.registry import parameters, value_of
from engine.footprint.rollout import kv_capacity
from rftui.plan.fit import MOST_SHARE, fitted
from rftui.plan.knobs import UTIL, with_config
from rftui.plan.layouts import layouts
from rftui.plan.measured import Measurement
from rftui.plan.planner import evaluate, make_plan
from rftui.plan.search import _weight, search
from rftui.runs.planned import subject_of
from tests.rftui.plan.asking import HALF, SEVEN, request

MACHINES = [
    (HALF, "1xRTX4090", 1),
    (HALF, "8xL40S", 1),
    (SEVEN, "8xA100-80", 1),
    (SEVEN, "4xH200", 2),
    ("Qwen/Qwen3-30B-A3B", "8xH200", 2),
    ("Qwen/Qwen2.5-14B-Instruct", "8xunknown-80", 1),
]
GIVEN = {
    "parallel.zero_stage": 2,
    "parallel.fsdp_shard_size": 4,
    "rollout.engine_tp_size": 4,
    "rollout.engine_mem_util": 0.3,
    "rollout.enable_engine_sleep": False,
    "batch.micro_train_batch_size": 2,
    "batch.max_tokens_per_micro_batch": 3000,
    "batch.micro_rollout_batch_size": 3,
    "memory.packing_samples": False,
    "memory.gradient_checkpointing": True,
    "memory.fused_linear_logprob": True,
    "memory.ref_reward_offload": True,
    "memory.adam_offload": True,
    "memory.fsdp_cpu_offload": True,
}


@pytest.mark.parametrize(("model", "gpus", "nodes"), MACHINES)
def test_a_plan_fits_and_brings_no_finding_of_its_own(model: str, gpus: str, nodes: int) -> None:
    asked = request(model, gpus, nodes=nodes, host_gb=2000)
    before = {finding.id for finding in asked.findings(asked.job.config)}
    plan = make_plan(asked)
    assert plan.fits and plan.footprint.peak <= asked.place.free
    assert plan.footprint.host_bytes <= asked.place.host_memory and kv_capacity(plan.job).starts
    assert {finding.id for finding in plan.findings} <= before
    assert plan.reasons.keys() >= plan.chosen.keys() and all(plan.reasons.values())


@pytest.mark.parametrize("key", GIVEN)
def test_what_is_given_stays(key: str) -> None:
    name, value = key.partition(".")[2], str(GIVEN[key]).lower()
    plan = make_plan(request(SEVEN, "8xA100-80", f"--{name}", value))
    assert plan.fits
    assert value_of(plan.resolved.config, key) == value_of(plan.job.config, key) == GIVEN[key]
    assert plan.resolved.sources[key] == "flag" and key not in plan.chosen
    others = {k: v for k, v in plan.resolved.sources.items() if v == "planner"}
    assert set(others) == set(plan.chosen) and plan.chosen


def test_a_seven_billion_model_on_eight_a100_is_planned_as_an_engineer_would() -> None:
    config = make_plan(request(SEVEN, "8xA100-80")).resolved.config
    assert config.parallel.fsdp and config.parallel.zero_stage is None
    assert config.rollout.engine_tp_size in (1, 2) and config.rollout.enable_engine_sleep
    assert config.memory.packing_samples and config.batch.max_tokens_per_micro_batch >= 2 * 1536
    memory = config.memory
    assert not (memory.adam_offload or memory.fsdp_cpu_offload or memory.ref_reward_offload)


def test_memory_is_saved_only_where_it_is_short() -> None:
    roomy, tight = (make_plan(request(SEVEN, gpus)).resolved.config for gpus in ("8xH200", "8xL40S"))
    assert not roomy.memory.gradient_checkpointing and tight.memory.gradient_checkpointing
    small, large = (
        make_plan(request(SEVEN, gpus, "--no-gradient-checkpointing")).job.config.batch
        for gpus in ("8xA100-40", "8xH200")
    )
    assert small.max_tokens_per_micro_batch < large.max_tokens_per_micro_batch


def test_search_finds_the_best_of_all_layouts() -> None:
    asked = request(SEVEN, "4xA100-40")
    every = [(c.potential * _weight(c.values), c) for lay in layouts(asked) if (c := fitted(lay, asked))]
    best = min(time for time, _ in every)
    found = search(asked).best
    assert found is not None and found.potential * _weight(found.values) == pytest.approx(best, rel=0.01)


def test_the_engine_gets_what_it_can_use_or_what_fits() -> None:
    for gpus in ("8xA100-80", "2xA100-80"):
        asked = request(SEVEN, gpus)
        plan = make_plan(asked)
        share = plan.job.config.rollout.engine_mem_util
        assert round(100 * share) / 100 == share <= MOST_SHARE / 100
        more = with_config(plan.job, {UTIL: share + 0.01})
        capacity = kv_capacity(plan.job)
        enough = capacity.tokens >= min(capacity.demand, capacity.most) * capacity.max_len
        assert enough or not asked.fits(more, asked.footprint(more))


def test_tensor_parallel_stays_within_the_fast_link_unless_given() -> None:
    plan = make_plan(request(SEVEN, "8xL40S"))
    assert plan.job.config.rollout.engine_tp_size == 1
    plan = make_plan(request(SEVEN, "8xL40S", "--engine-tp-size", "4"))
    warned = [finding for finding in plan.findings if finding.id == "plan.tp-beyond-link"]
    assert plan.job.config.rollout.engine_tp_size == 4 and warned[0].severity == "warning"


def test_a_described_machine_needs_no_engine_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.config.choices.installed", lambda package: False)
    plan = make_plan(request(SEVEN, "8xA100-80"))
    assert plan.job.engine == "vllm" and "vLLM is installed on the described machine" in plan.assumptions


def test_as_is_changes_nothing() -> None:
    asked = request(SEVEN, "8xA100-80")
    plan = evaluate(asked)
    assert plan.resolved == asked.resolved and plan.chosen == {}
    known = parameters()
    assert all(value_of(plan.job.config, key) == known[key].default for key in GIVEN)


def test_planning_takes_less_than_a_second_and_no_heavy_library() -> None:
    code = (
        "import sys, time; from tests.rftui.plan.asking import SEVEN, request; "
        "from rftui.plan.planner import make_plan; make_plan(request(SEVEN, '8xA100-80')); "
        "print(time.process_time(), {'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    told = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    assert {line.split(maxsplit=1)[1].strip() for line in told} == {"set()"}
    assert min(float(line.split()[0]) for line in told) <= 1.0


def test_the_run_is_as_long_as_its_data_and_costs_what_its_hours_cost() -> None:
    plan = make_plan(replace(request(SEVEN, "8xA100-80"), dataset_size=7473))
    assert plan.iterations == 3 * (7473 // 64)
    assert plan.seconds == pytest.approx(plan.iterations * plan.times.iteration)
    assert plan.cost(2.0) == pytest.approx(2.0 * 8 * plan.seconds / 3600, abs=0.01)
    assert make_plan(request(SEVEN, "8xunknown-80")).seconds is None


def test_measured_runs_of_the_same_kind_correct_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFTUI_DATA_DIR", str(tmp_path))
    plain = make_plan(request(SEVEN, "8xA100-80"))
    ran = Measurement("run", 1.0, subject_of(plain.job), {"update": 1.5})
    (tmp_path / "measurements.jsonl").write_bytes(msgspec.json.encode(ran) + b"\n")
    given = [word for key, value in plain.chosen.items() for word in (f"--{key}", str(value).lower())]
    again = evaluate(request(SEVEN, "8xA100-80", *given))
    assert plain.corrected == "" and "1 run" in again.corrected
    update = {phase.phase: phase.bytes for phase in again.footprint.phases}["update"]
    assert update > {phase.phase: phase.bytes for phase in plain.footprint.phases}["update"]
    assert any("measured" in term.source for phase in again.footprint.phases for term in phase.terms)
