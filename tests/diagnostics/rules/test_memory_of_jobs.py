"""Memory of other trainers' jobs: what is needed, where it does not fit, and what would fit."""

from typing import Any

import msgspec
import pytest

from diagnostics.places import described_place
from diagnostics.rules.foreign import Foreign, Setting
from diagnostics.rules.job import Job
from diagnostics.rules.memory import Memory, memory_of
from diagnostics.rules.memory_fit import what_fits
from diagnostics.rules.memory_setup import prepare
from diagnostics.rules.model import model_of
from diagnostics.rules.read_verl import read_verl_command
from diagnostics.rules.rulesets import job_of
from diagnostics.trainers.estimate import estimate
from engine.footprint.catalog import find_model
from engine.footprint.devices import GIB

A, R, M = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
SOUND = {
    "algorithm.adv_estimator": "grpo",
    "data.train_batch_size": 256,
    "data.max_prompt_length": 512,
    "data.max_response_length": 1536,
    f"{M}.path": "Qwen/Qwen2.5-7B-Instruct",
    f"{M}.use_remove_padding": True,
    f"{A}.ppo_mini_batch_size": 64,
    f"{A}.ppo_micro_batch_size_per_gpu": 8,
    f"{R}.name": "vllm",
    f"{R}.n": 8,
    f"{R}.tensor_model_parallel_size": 2,
    f"{R}.log_prob_micro_batch_size_per_gpu": 8,
}


def of(changes: dict[str, Any]) -> tuple[Foreign, Job]:
    words = [Setting(f"{name}={value}", 2) for name, value in {**SOUND, **changes}.items()]
    foreign = read_verl_command("run.sh", words)
    return foreign, job_of(foreign)


def memory(changes: dict[str, Any], gpus: str | None = "8xA100-80", nodes: int = 1) -> Memory:
    foreign, job = of(changes)
    place = described_place(gpus, nodes) if gpus else None
    return memory_of(foreign, job, model_of(job).shape, place)


def test_a_job_that_fits_is_told_in_words_alone() -> None:
    found = memory({})
    assert found.findings == ()
    update, host, engine = found.lines
    assert update.startswith("update: ") and "of 79.1 GiB (A100-80) on each of 8 cards" in update
    assert host.startswith("host: ")
    assert "0.5 of a card = 39.5 GiB: weights 7.1 GiB" in engine and "sequences of 2,048" in engine


def test_without_cards_nothing_is_judged_but_what_it_takes_is_said() -> None:
    found = memory({f"{A}.ppo_micro_batch_size_per_gpu": 64}, gpus=None)
    assert found.findings == ()
    assert "cards are meant is not known" in found.lines[1]


def test_an_update_that_is_too_large_comes_with_micro_batches_that_fit() -> None:
    (finding,) = [
        f for f in memory({f"{A}.ppo_micro_batch_size_per_gpu": 64}).findings if f.id == "cfg.mem.train"
    ]
    assert finding.severity == "error" and "79.1 GiB (A100-80)" in finding.cause
    assert any(line.startswith("logits: ") for line in finding.evidence)
    first = finding.fixes[0]
    assert first.command == f"{A}.ppo_micro_batch_size_per_gpu=32"
    foreign, job = of({f"{A}.ppo_micro_batch_size_per_gpu": 32})
    assert not memory_of(foreign, job, model_of(job).shape, described_place("8xA100-80")).findings


def test_every_fix_fits_and_the_next_larger_value_does_not() -> None:
    foreign, job = of({f"{A}.ppo_micro_batch_size_per_gpu": 64})
    shape, card = find_model("Qwen/Qwen2.5-7B"), 79.1 * GIB
    fixes = what_fits(foreign, job, shape, card, 0.9)
    assert fixes and all(float(fix.text.rsplit(": ", 1)[1].split()[0]) <= 0.9 * 79.1 for fix in fixes)
    larger = prepare(msgspec.structs.replace(job, micro=64, micro_forward=8), shape, card)
    assert not isinstance(larger, str)
    assert estimate(larger.profile, larger.setup).device > 0.9 * card


def test_what_no_single_change_mends_is_mended_together_or_said_to_be_impossible() -> None:
    findings = memory({f"{A}.ppo_micro_batch_size_per_gpu": 16}, gpus="8xRTX4090").findings
    (finding,) = [f for f in findings if f.id == "cfg.mem.train"]
    assert finding.fixes[0].text.startswith("together, for ") and ";" in finding.fixes[0].text
    huge = {f"{M}.path": "meta-llama/Llama-3.1-405B", f"{R}.tensor_model_parallel_size": 8}
    (finding,) = [f for f in memory(huge, gpus="8xRTX4090").findings if f.id == "cfg.mem.train"]
    assert "larger card or a smaller model" in finding.fixes[0].text or "together" in finding.fixes[0].text


def test_a_tight_fit_is_a_warning() -> None:
    for micro in range(33, 64):
        found = memory({f"{A}.ppo_micro_batch_size_per_gpu": micro}).findings
        if found and found[0].severity == "warning":
            assert "% of a card's 79.1 GiB" in found[0].cause
            return
    pytest.fail("no size between fitting and not fitting")


def test_an_engine_that_cannot_hold_its_weights_is_told() -> None:
    changes = {f"{M}.path": "Qwen/Qwen2.5-72B-Instruct", f"{R}.tensor_model_parallel_size": 2}
    (finding,) = [f for f in memory(changes).findings if f.id == "cfg.mem.engine"]
    assert "does not hold its weights" in finding.cause
    assert f"{R}.tensor_model_parallel_size=4" in [fix.command for fix in finding.fixes]


def test_states_that_stay_beside_an_engine_that_is_awake() -> None:
    heavy = {
        f"{M}.path": "Qwen/Qwen2.5-32B",
        f"{R}.gpu_memory_utilization": 0.7,
        f"{A}.ppo_micro_batch_size_per_gpu": 1,
    }
    ids = [f.id for f in memory({**heavy}).findings]
    assert "cfg.mem.engine-beside-states" in ids
    moved = {
        f"{A}.fsdp_config.optimizer_offload": True,
        f"{A}.fsdp_config.param_offload": True,
        f"{R}.tensor_model_parallel_size": 4,
    }
    assert "cfg.mem.engine-beside-states" not in [f.id for f in memory({**heavy, **moved}).findings]


def test_more_gpus_than_there_are() -> None:
    (finding,) = [f for f in memory({"trainer.nnodes": 2}).findings if f.id == "cfg.gpus"]
    assert "16 GPUs, and there are 8" in finding.cause and "2 such machines" in finding.fixes[0].text
    assert not [f for f in memory({"trainer.nnodes": 2}, nodes=2).findings if f.id == "cfg.gpus"]


def test_host_memory_for_what_is_offloaded() -> None:
    foreign, job = of({f"{M}.path": "Qwen/Qwen2.5-72B", f"{A}.fsdp_config.optimizer_offload": True})
    job = msgspec.structs.replace(job, nodes=1)
    small = described_place("8xA100-80", host_memory=200 * GIB)
    ids = [f.id for f in memory_of(foreign, job, model_of(job).shape, small).findings]
    assert "cfg.mem.host" in ids
    large = described_place("8xA100-80", host_memory=4000 * GIB)
    assert "cfg.mem.host" not in [f.id for f in memory_of(foreign, job, model_of(job).shape, large).findings]


def test_what_is_missing_is_said_and_nothing_is_guessed() -> None:
    foreign, job = of({f"{M}.path": "/nowhere/my-model"})
    model = model_of(job)
    assert model.shape is None and model.said is not None and model.said.id == "check.model-unknown"
    assert memory_of(foreign, job, None, None).lines == ("memory is not estimated: the model is not known",)
    foreign, job = of({f"{A}.ppo_micro_batch_size_per_gpu": "$MICRO"})
    lines = memory_of(foreign, job, model_of(job).shape, None).lines
    assert lines[0] == "memory of the update is not estimated: the size of a micro-batch is not known"


def test_a_model_of_another_machine_is_taken_by_its_name() -> None:
    _, job = of({f"{M}.path": "/mnt/models/Qwen/Qwen2___5-7B-Instruct"})
    model = model_of(job)
    assert model.shape is not None and model.shape.name == "Qwen/Qwen2.5-7B-Instruct"
    assert model.said is not None and model.said.id == "check.model-by-name"


def test_critics_and_padding_count() -> None:
    def need(changes: dict[str, Any]) -> float:
        _, job = of(changes)
        prepared = prepare(job, find_model("Qwen/Qwen2.5-7B"), 80 * GIB)
        assert not isinstance(prepared, str)
        return estimate(prepared.profile, prepared.setup).device

    assert need({"algorithm.adv_estimator": "gae"}) > need({}) + 10 * GIB
    assert need({f"{M}.use_remove_padding": False}) > need({})
    assert need({f"{M}.lora_rank": 16}) < need({})
    assert need({f"{A}.strategy": "fsdp2", f"{A}.fsdp_config.offload_policy": True}) < need({})
    assert need({f"{A}.fsdp_config.optimizer_offload": True}) == need({}), "only moved between phases"


def test_an_engine_that_never_sleeps_may_hold_the_states_within_its_share() -> None:
    awake = {f"{R}.free_cache_engine": False, f"{R}.gpu_memory_utilization": 0.6}
    (finding,) = [f for f in memory(awake).findings if f.id == "cfg.mem.train"]
    assert finding.severity == "warning" and "old engines" in finding.evidence[-1]
    assert finding.fixes[0].command == f"{R}.free_cache_engine=true"
    fuller = {**awake, f"{A}.ppo_micro_batch_size_per_gpu": 32}
    (finding,) = [f for f in memory(fuller).findings if f.id == "cfg.mem.train"]
    assert finding.severity == "error"
