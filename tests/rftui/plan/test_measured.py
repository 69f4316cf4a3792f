"""Predicted against measured memory: what a run's events say, what is remembered, what corrects a plan."""

from pathlib import Path

import msgspec
import pytest

from engine.config.sections import RunConfig
from engine.events import EventWriter, Memory
from engine.footprint.devices import GIB, Device
from engine.footprint.job import Job, Place
from engine.footprint.shape import ModelShape
from engine.footprint.terms import Footprint, PhaseMemory, Term
from rftui.plan import measured
from rftui.runs import planned, rundir
from rftui.runs.compared import compare
from rftui.runs.planned import Planned, subject_of
from rftui.runs.rundir import RunDir
from rftui.runs.view import RunView

SHAPE = ModelShape("tiny", "qwen2", 64, 2, 4, 2, 16, 128, 1000)
CARD = Device("A100-80", 79 * GIB, None, None)


def job(card: Device = CARD, **memory: bool) -> Job:
    config = RunConfig.model_validate({"memory": memory, "rollout": {"engine_type": "hf"}})
    return Job(config, SHAPE, Place(card, 8, 8, 8, 79 * GIB, 512 * GIB))


def phase(name: str, needed: int, margin: int = 0) -> PhaseMemory:
    terms = Term("states", needed, "f", "s"), Term("margin", margin, "f", "s", where="margin")
    return PhaseMemory(name, "all the time", terms)


def plan(subject: Job, held_by_others: int = 0) -> Planned:
    phases = phase("load", 10), phase("rollout", 100, 50), phase("update", 200), phase("step", 300, 9)
    footprint = Footprint(phases, (), ())
    return Planned(subject_of(subject), "tiny", 1, 8, footprint, held_by_others=held_by_others)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("RFTUI_DATA_DIR", str(tmp_path / "data"))
    return rundir.create(tmp_path, "one")


def emit(run: RunDir, rank: int, **peaks: int) -> None:
    out = EventWriter(run.events_dir / f"rank-{rank:05}.jsonl", rank=rank, world_size=2, host="h")
    for name, peak in peaks.items():
        out.emit(Memory, step=1, phase=name, rss=1, rss_peak=peak)


def test_a_phase_is_compared_without_margin_at_the_rank_that_held_most(run: RunDir) -> None:
    planned.write(run, plan(job()))
    emit(run, 0, rollout=110, update=240, reward=5)
    emit(run, 1, rollout=90, update=330)
    lines = {line.phase: line for line in RunView(run).load().compared}
    assert set(lines) == {"rollout", "update"}  # load was not measured, reward not predicted
    assert (lines["rollout"].predicted, lines["rollout"].measured) == (100, 110)
    assert (lines["update"].predicted, lines["update"].measured) == (300, 330)
    assert lines["update"].ratio == pytest.approx(1.1)


def test_on_a_device_what_torch_reserved_before_counts_besides_what_is_in_use_at_the_end() -> None:
    event = Memory(
        t=0.0, step=1, phase="update", rss=7, rss_peak=8, reserved=30, reserved_peak=50, device_used=60
    )
    assert event.held == 60 + 20
    assert Memory(t=0.0, step=1, phase="update", rss=7, rss_peak=8).held == 8


def test_what_others_held_is_not_the_runs() -> None:
    assert compare(plan(job(), held_by_others=40), {"rollout": 140})[0].measured == 100


def test_runs_of_the_same_kind_correct_the_next_plan(run: RunDir) -> None:
    assert measured.lookup(job()) is None
    planned.write(run, plan(job()))
    emit(run, 0, rollout=120, update=270)
    assert [line.phase for line in measured.record(run)] == ["rollout", "update"]
    found = measured.lookup(job())
    assert found is not None and found.runs == 1
    assert found.ratios == pytest.approx({"rollout": 1.2, "update": 0.9, "step": 0.9})
    assert found.words == "qwen2 models on A100-80 with fsdp2"
    assert measured.lookup(job(gradient_checkpointing=True)) is None
    assert measured.lookup(job(Device("H200", 140 * GIB, None, None))) is None


def test_a_run_counts_once_and_a_ratio_that_cannot_be_is_passed_over(run: RunDir) -> None:
    planned.write(run, plan(job()))
    emit(run, 0, rollout=120, update=30_000)
    measured.record(run)
    measured.record(run)
    found = measured.lookup(job())
    assert found is not None and found.runs == 1 and set(found.ratios) == {"rollout"}


def test_a_damaged_store_and_a_run_without_a_plan_say_nothing(run: RunDir) -> None:
    assert measured.record(run) == [] and not measured.store_path().exists()
    planned.write(run, plan(job()))
    emit(run, 0, rollout=120)
    measured.record(run)
    with measured.store_path().open("ab") as file:
        file.write(b'{"run": "torn\n{"run": 3}\n')
    found = measured.lookup(job())
    assert found is not None and found.runs == 1
    run.plan_path.write_text("{")
    assert planned.read(run) is None and RunView(run).compared == []


def test_plan_json_is_read_back_as_it_was_written(run: RunDir) -> None:
    written = plan(job())
    planned.write(run, written)
    assert planned.read(run) == written
    assert msgspec.json.decode(run.plan_path.read_bytes())["footprint"]["phases"][0]["terms"]


def test_an_earlier_attempts_memory_is_not_that_of_the_present_one(run: RunDir) -> None:
    planned.write(run, plan(job()))
    emit(run, 0, update=900)
    emit(run, 1, update=950)
    emit(run, 0, update=310)  # a new attempt: a new header
    emit(run, 1, update=320)
    assert {line.phase: line.measured for line in RunView(run).load().compared} == {"update": 320}


def test_runs_of_short_responses_do_not_make_room_that_the_longest_need() -> None:
    from engine.footprint.margin import Measured
    from engine.footprint.predict import predict

    plain, short = (predict(job(), m) for m in (None, Measured({"update": 0.4}, 3, "w")))
    update = {f: next(p for p in f.phases if p.phase == "update") for f in (plain, short)}
    assert update[short].bytes >= update[short].allocated
    assert update[short].bytes < update[plain].bytes  # the general margin is not needed
    assert any("measured in 3 runs" in term.source for term in update[short].terms)


def test_measurements_out_of_reach_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFTUI_DATA_DIR", "/" + "x" * 300)
    assert not measured.any_measured() and measured.lookup(job()) is None


def test_on_a_cpu_all_memory_is_measured_and_corrected(run: RunDir) -> None:
    here = job(Device("cpu", 20 * GIB, None, None, kind="cpu"))
    terms = Term("process", 600, "f", "s", "driver"), Term("states", 40, "f", "s")
    footprint = Footprint((PhaseMemory("update", "m", terms),), (), ())
    planned.write(run, Planned(subject_of(here), "tiny", 1, 1, footprint))
    emit(run, 0, update=800)
    measured.record(run)
    found = measured.lookup(here)
    assert found is not None and found.ratios["update"] == pytest.approx(1.25)
