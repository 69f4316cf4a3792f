"""What a launch plans by itself: on GPUs (as a fake driver shows them), and where it cannot."""

import os
from pathlib import Path

import msgspec
import pytest

from diagnostics.hardware import Hardware, detect
from diagnostics.nvml import Nvml
from engine.config.load import layer_from_flags, load_resolved
from engine.findings import EXIT_UNFIT, FindingsError
from rftui.launch.prepare import Prepared, prepare_new
from rftui.launch.resume import open_attempt, prepare_resume
from rftui.launch.sizing import block
from rftui.launch.start import create
from rftui.plan.measured import Measurement
from rftui.runs import planned
from tests.diagnostics.fake_nvml import A100, FakeNvml, eight_h100, shared

SEVEN = ("--pretrain", "Qwen/Qwen2.5-7B-Instruct", "--engine-type", "vllm")


@pytest.fixture(autouse=True)
def torch_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torch were built for GPUs, and what the engine needs were installed."""
    for module in ("rftui.launch.sizing", "diagnostics.preflight"):
        monkeypatch.setattr(f"{module}.torch_uses_gpus", lambda: True)
    monkeypatch.setattr("rftui.launch.prepare.check_libraries", lambda config: [])


def machine(nvml: FakeNvml) -> Hardware:
    """The GPUs of a driver in a machine with 2 TB of RAM and as much disk."""
    room = {"memory_available": 2 * 10**12, "disk_free": 2 * 10**12}
    return msgspec.structs.replace(detect(Nvml(nvml), environ={}), **room)


def prepare(tmp_path: Path, hardware: Hardware, *flags: str, as_is: bool = False) -> Prepared:
    overrides = [layer_from_flags(flags)]
    return prepare_new("gsm8k", overrides, runs_dir=tmp_path, name=None, hardware=hardware, as_is=as_is)


def test_what_is_open_is_planned_for_the_gpus_that_are_there(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, machine(eight_h100()), *SEVEN, "--engine-tp-size", "4")
    plan, sources = prepared.plan, prepared.resolved.sources
    assert plan is not None and plan.fits and prepared.nproc == 8 and prepared.warnings == ()
    assert sources["rollout.engine_tp_size"] == "flag" and sources["memory.packing_samples"] == "planner"
    assert prepared.resolved.config == plan.job.config
    first, chosen, why = block(plan)
    assert first.startswith("plan: needs ") and "responses of 512 tokens" in first
    assert "packing_samples true" in chosen and "engine_tp_size" not in chosen and "--as-is" in why


def test_a_gpu_that_others_use_is_planned_with_what_is_free(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, machine(shared(os.getpid())), *SEVEN)
    whole = prepare(tmp_path, machine(eight_h100()), *SEVEN, "--nproc", str(prepared.nproc))
    assert prepared.plan is not None and whole.plan is not None
    assert prepared.plan.footprint.peak < prepared.plan.job.place.free < whole.plan.job.place.free
    assert "hardware.gpu-shared" in {finding.id for finding in prepared.warnings}


def test_what_does_not_fit_is_not_launched_unless_as_it_is(tmp_path: Path) -> None:
    one = machine(FakeNvml([A100]))
    small = ("--max-len", "700", "--generate-max-len", "188", "--no-fsdp-cpu-offload")
    with pytest.raises(FindingsError) as failed:
        prepare(tmp_path, one, *SEVEN, *small)
    assert failed.value.exit_code == EXIT_UNFIT
    missing = next(f for f in failed.value.findings if f.id == "plan.does-not-fit")
    assert any(fix.set for fix in missing.fixes)
    prepared = prepare(tmp_path, one, *SEVEN, *small, as_is=True)
    assert {f.id: f.severity for f in prepared.warnings}["plan.does-not-fit"] == "warning"
    assert "planner" not in prepared.resolved.sources.values()


def test_resume_keeps_the_plan_and_predicts_anew_what_is_changed(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, machine(eight_h100()), *SEVEN)
    run = create(prepared, tmp_path, "one")
    first = planned.read(run)
    again = prepare_resume(run, [], machine(eight_h100()))
    open_attempt(run, again)
    assert load_resolved(run.config_path) == prepared.resolved and planned.read(run) == first
    changed = prepare_resume(run, [layer_from_flags(["--gradient-checkpointing"])], machine(eight_h100()))
    open_attempt(run, changed)
    second = planned.read(run)
    assert first is not None and second is not None and second.footprint.peak < first.footprint.peak
    assert changed.resolved.sources["memory.packing_samples"] == "planner"


def test_a_plan_that_does_not_fit_a_cpu_is_recorded_as_what_is_launched(tmp_path: Path) -> None:
    bare = msgspec.structs.replace(machine(FakeNvml([])), memory_available=10**11)
    prepared = prepare(tmp_path, bare, "--pretrain", "Qwen/Qwen2.5-7B-Instruct", "--engine-type", "hf")
    assert {f.id: f.severity for f in prepared.warnings}["plan.does-not-fit"] == "warning"
    plan, config = prepared.plan, prepared.resolved.config
    assert plan is not None and not plan.fits and plan.chosen == {} and plan.job.config == config
    run = create(prepared, tmp_path, "one")
    written = planned.read(run)
    assert written is not None and written.chosen == {}
    assert written.subject.settings["memory.gradient_checkpointing"] is False


def test_resume_keeps_what_was_chosen_where_measurements_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFTUI_DATA_DIR", str(tmp_path / "data"))
    run = create(prepare(tmp_path, machine(eight_h100()), *SEVEN), tmp_path, "one")
    first = planned.read(run)
    assert first is not None and first.chosen
    (tmp_path / "data").mkdir()
    measurement = Measurement("other", 1.0, first.subject, {"rollout": 1.2, "update": 1.2})
    (tmp_path / "data" / "measurements.jsonl").write_bytes(msgspec.json.encode(measurement) + b"\n")
    open_attempt(run, prepare_resume(run, [], machine(eight_h100())))
    assert planned.read(run) == first
    changed = prepare_resume(
        run, [layer_from_flags(["--micro-rollout-batch-size", "1"])], machine(eight_h100())
    )
    open_attempt(run, changed)
    second = planned.read(run)
    assert second is not None and second.chosen["packing_samples"] is True and second.corrected
    assert "micro_rollout_batch_size" not in second.chosen


def test_a_run_that_needs_many_times_a_cpus_memory_is_not_started(tmp_path: Path) -> None:
    bare = msgspec.structs.replace(machine(FakeNvml([])), memory_available=10**10)
    with pytest.raises(FindingsError) as refused:
        prepare(tmp_path, bare, "--pretrain", "Qwen/Qwen2.5-7B-Instruct", "--engine-type", "hf")
    assert refused.value.exit_code == EXIT_UNFIT
