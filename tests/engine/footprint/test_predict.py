"""Predictions of whole runs: that they are complete, add up, and move the right way."""

import time
from typing import Any

import pytest

from engine.footprint.constants import communicators
from engine.footprint.margin import Measured, ratio
from engine.footprint.predict import NOT_MODELLED, predict
from engine.footprint.terms import PHASES, Footprint, PhaseMemory
from tests.engine.footprint.jobs import CPU, GB, GIB, QWEN_7B, job, place

VARIANTS: dict[str, dict[str, Any]] = {
    "vllm": {},
    "vllm awake": {"rollout": {"enable_engine_sleep": False}},
    "vllm on two ranks, eager": {"rollout": {"engine_tp_size": 2, "engine_enforce_eager": True}},
    "vllm with a given cache": {"rollout": {"engine_kv_cache_gb": 4.0}},
    "hf": {"rollout": {"engine_type": "hf"}},
    "sglang": {"rollout": {"engine_type": "sglang"}},
    "zero 1": {"parallel": {"zero_stage": 1}},
    "zero 2, offload": {"parallel": {"zero_stage": 2}, "memory": {"adam_offload": True}},
    "zero 3": {"parallel": {"zero_stage": 3}},
    "adam offload": {"memory": {"adam_offload": True, "ref_reward_offload": True}},
    "cpu offload": {"memory": {"fsdp_cpu_offload": True}},
    "masters": {"memory": {"use_mp_opt": True}},
    "lora": {"model": {"lora_rank": 32}},
    "float32": {"model": {"bf16": False}},
    "fp8 engine": {"rollout": {"engine_quantization": "fp8"}},
}


def phase(footprint: Footprint, name: str) -> PhaseMemory:
    return next(p for p in footprint.phases if p.phase == name)


def named(memory: PhaseMemory) -> dict[str, int]:
    return {term.name: term.bytes for term in memory.terms}


@pytest.mark.parametrize(
    "where", [place(), place("RTX4090", 1), place(CPU, 2)], ids=["8 GPUs", "1 GPU", "CPU"]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_phase_is_there_and_every_term_says_what_it_is(variant: str, where: Any) -> None:
    footprint = predict(job(where=where, **VARIANTS[variant]))
    assert tuple(p.phase for p in footprint.phases) == PHASES
    for terms in (*(p.terms for p in footprint.phases), footprint.host, footprint.disk):
        assert len({term.name for term in terms}) == len(terms)
        for term in terms:
            assert term.bytes > 0 and term.name and term.formula and term.source, term
    for memory in footprint.phases:
        assert memory.moment and memory.bytes == sum(term.bytes for term in memory.terms)
        assert sum(term.where == "margin" for term in memory.terms) == 1
    assert footprint.peak == footprint.worst.bytes == max(p.bytes for p in footprint.phases)
    assert footprint.host_bytes > 0 and footprint.disk_bytes > 0


def test_a_card_is_asked_for_the_share_while_the_trainer_is_there() -> None:
    load = phase(predict(job()), "load")
    share = sum(term.bytes for term in load.terms if term.where == "engine")
    total = job().place.device.memory
    assert share == pytest.approx(total * 0.5, abs=100)
    assert named(load)["parameters"] == pytest.approx(4 * 7_615_616_512 / 8, rel=1e-3)
    assert "Adam" not in named(load)  # it comes with the first step
    assert named(phase(predict(job()), "rollout"))["Adam"] == pytest.approx(8 * 7_615_616_512 / 8, rel=1e-3)


def test_a_given_cache_does_not_lower_what_must_be_free_at_the_start() -> None:
    given = predict(job(rollout={"engine_kv_cache_gb": 4.0}))
    assert phase(given, "load").bytes == phase(predict(job()), "load").bytes
    assert phase(given, "rollout").bytes < phase(predict(job()), "rollout").bytes - 15 * GB


def test_sleep_frees_the_engine_for_updates_and_keeps_little() -> None:
    asleep, awake = predict(job()), predict(job(rollout={"enable_engine_sleep": False}))
    for name in ("logprob", "update", "step"):
        kept = {t.name: t.bytes for t in phase(asleep, name).terms if t.where == "engine"}
        assert set(kept) == {"engine runtime", "CUDA graphs"} and sum(kept.values()) < 1.2 * GB
        freed = phase(awake, name).bytes - phase(asleep, name).bytes
        weights_and_cache = phase(asleep, "rollout").terms
        assert freed == sum(t.bytes for t in weights_and_cache if t.name in ("engine weights", "KV cache"))
    assert phase(asleep, "rollout").bytes == phase(awake, "rollout").bytes


def test_after_an_update_the_sync_has_weights_but_no_cache() -> None:
    sync = phase(
        predict(job(rollout={"engine_mem_util": 0.25, "max_len": 2048, "prompt_max_len": 1024})), "sync"
    )
    assert sync.moment == "after an update"
    assert "engine weights" in named(sync) and "KV cache" not in named(sync)
    embedding = 2 * 152_064 * 3584
    assert named(sync)["gathered weights"] == named(sync)["reloaded module"] == embedding
    before = phase(predict(job(rollout={"engine_mem_util": 0.6})), "sync")
    assert before.moment == "before the first rollout" and "KV cache" in named(before)


def test_adapters_are_merged_for_the_sync_and_for_the_final_model() -> None:
    footprint = predict(job(model={"lora_rank": 8}))
    for name in ("sync", "checkpoint"):
        assert named(phase(footprint, name))["merged adapters"] == 12 * 3584 * 18944


def test_deepspeed_below_stage_3_gathers_nothing_for_the_sync() -> None:
    names = named(phase(predict(job(parallel={"zero_stage": 2})), "sync"))
    assert "gathered weights" not in names and "assembled weights" not in names
    assert "gathered weights" in named(phase(predict(job(parallel={"zero_stage": 3})), "sync"))


def test_one_context_and_as_many_communicators_as_the_groups() -> None:
    terms = named(phase(predict(job()), "rollout"))
    assert terms["CUDA context"] == int(0.4 * GIB)
    assert terms["NCCL"] == 1_100_000_000
    assert communicators(job(where=place(ranks=1))) == []
    assert communicators(job(parallel={"fsdp_shard_size": 4})) == ["all ranks", "shard", "replicate"]
    assert len(communicators(job(rollout={"engine_tp_size": 2}, parallel={"sp_size": 2}))) == 4
    beside = named(phase(predict(job(rollout={"engine_type": "sglang"})), "rollout"))
    assert beside["CUDA context of the engine"] == terms["CUDA context"]


def test_the_margin_is_a_share_of_torchs_bytes_with_a_floor() -> None:
    step = phase(predict(job(parallel={"zero_stage": 1})), "step")
    assert named(step)["margin"] == int(0.10 * step.allocated) > 2 * GB
    step = phase(predict(job(parallel={"zero_stage": 1}, rollout={"engine_type": "hf"})), "step")
    assert named(step)["margin"] == int(0.06 * step.allocated) > 2 * GB
    assert named(phase(predict(job()), "load"))["margin"] == 2 * GB


def test_measured_runs_replace_the_margin_of_their_phases() -> None:
    general = predict(job())
    update = phase(general, "update")
    held = update.bytes + 3 * GB
    measured = Measured({"update": ratio(update, held)}, runs=2, words="Qwen2.5 on A100 with fsdp2")
    learned = predict(job(), measured)
    corrected = phase(learned, "update")
    assert corrected.bytes == pytest.approx(held + 0.02 * update.allocated, rel=1e-6)
    correction = next(t for t in corrected.terms if t.name == "measured correction")
    assert "2 runs of Qwen2.5 on A100" in correction.source
    assert phase(learned, "rollout") == phase(general, "rollout")


def test_runs_that_needed_less_lower_the_prediction() -> None:
    update = phase(predict(job()), "update")
    measured = Measured({"update": 0.9}, runs=1, words="the same")
    assert phase(predict(job(), measured), "update").bytes < update.bytes
    assert "1 run of" in phase(predict(job(), measured), "update").terms[-2].source


def test_on_a_cpu_ranks_share_the_machine() -> None:
    one, four = (predict(job("Qwen/Qwen2.5-0.5B", place(CPU, n))) for n in (1, 4))
    assert [t.bytes for t in four.host] == [4 * four.peak]
    assert four.peak < one.peak < four.host_bytes
    names = named(phase(one, "rollout"))
    assert names["process"] == 820_000_000 and "CUDA context" not in names and "CUDA graphs" not in names
    assert names["KV cache"] == GIB
    load = phase(one, "load")
    assert "loaded" in " ".join(named(load)) or "engine weights" in named(load)


def test_what_is_not_modelled_is_said() -> None:
    assert any("other processes" in words for words in NOT_MODELLED)


def test_a_prediction_takes_a_millisecond() -> None:
    jobs = [job(QWEN_7B, rollout={"engine_mem_util": 0.3 + i / 100}) for i in range(40)]
    predict(jobs[0])
    seconds = []
    for each in jobs:
        started = time.process_time()
        predict(each)
        seconds.append(time.process_time() - started)
    assert sorted(seconds)[len(seconds) // 2] < 2e-3
