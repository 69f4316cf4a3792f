"""The memory model of the training side: what it must never do, whatever the numbers, and its arithmetic."""

import re
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from engine.footprint.job import Job
from engine.footprint.shape import ModelShape
from engine.footprint.terms import PhaseMemory, Term
from engine.footprint.training import resident, training_phases
from tests.engine.footprint.training_jobs import CPU, SHAPE, SMALL, job

BATCHES = {"train_batch_size": 1024, "rollout_batch_size": 1024}
STRATEGIES: dict[str, dict[str, Any]] = {
    "fsdp2": {},
    "use_mp_opt": {"memory": {"use_mp_opt": True}},
    "cpu offload": {"memory": {"fsdp_cpu_offload": True}},
    "adam offload": {"memory": {"adam_offload": True}},
    "reference offload": {"memory": {"ref_reward_offload": True}},
    "fused": {"memory": {"fused_linear_logprob": True, "chunk_size": 512}},
    "lora": {"model": {"lora_rank": 16, "flash_attn": False}},
    "float32": {"model": {"bf16": False, "flash_attn": False}},
    "zero 1": {"parallel": {"zero_stage": 1}},
    "zero 2": {"parallel": {"zero_stage": 2}},
    "zero 3": {"parallel": {"zero_stage": 3}},
    "zero 3, offloaded": {"parallel": {"zero_stage": 3}, "memory": {"adam_offload": True}},
}


def bytes_of(job: Job) -> dict[str, int]:
    return {phase.phase: phase.bytes for phase in training_phases(job)}


def update(job: Job) -> PhaseMemory:
    return training_phases(job)[1]


def with_memory(strategy: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {**strategy, "memory": {**strategy.get("memory", {}), **settings}}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_ranks_never_need_more_each(strategy: str) -> None:
    phases = [bytes_of(job(ranks, batch=BATCHES, **STRATEGIES[strategy])) for ranks in (2, 8, 64, 512)]
    for few, many in pairwise(phases):
        assert all(many[phase] <= few[phase] for phase in few)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_longer_responses_and_larger_micro_batches_never_need_less(strategy: str) -> None:
    def needs(responses: int, length: int) -> dict[str, int]:
        batch = {**BATCHES, "micro_train_batch_size": responses, "micro_rollout_batch_size": responses}
        lengths = {"max_len": 1024 + length, "prompt_max_len": 1024}
        return bytes_of(job(batch=batch, rollout=lengths, **STRATEGIES[strategy]))

    for few, many in pairwise([needs(1, 512), needs(2, 512), needs(4, 2048), needs(8, 8192)]):
        assert all(few[phase] <= many[phase] for phase in few)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_recomputing_keeps_less_and_never_needs_more_with_several_layers(strategy: str) -> None:
    batch = {**BATCHES, "micro_train_batch_size": 4}
    plain, recomputed = (
        update(job(batch=batch, **with_memory(STRATEGIES[strategy], gradient_checkpointing=on)))
        for on in (False, True)
    )
    assert recomputed.bytes < plain.bytes


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("place", ["gpu", "cpu"])
def test_formulas_come_to_what_they_say(strategy: str, place: str) -> None:
    where = {"device": CPU} if place == "cpu" else {}
    for ranks, shape in ((1, SMALL), (8, SHAPE), (96, SHAPE)):
        for phase in training_phases(job(ranks, shape, **where, **STRATEGIES[strategy])):
            assert phase.allocated == phase.bytes
            for term in phase.terms:
                assert term.bytes > 0 and term.source
                assert value(term) == pytest.approx(term.bytes, rel=1e-6, abs=16), term


def value(term: Term) -> float:
    """What a formula comes to, its words left out."""
    if whole_rows := re.fullmatch(r"(\d+) B × .*, whole rows: ([\d,]+)", term.formula):
        return int(whole_rows[1]) * int(whole_rows[2].replace(",", ""))
    sums = re.sub(r"[a-zA-Z]+\d*", "", term.formula.replace(",", "").replace("×", "*"))
    return float(eval(sums))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_stays_between_updates_is_there_in_every_phase(strategy: str) -> None:
    given = job(**STRATEGIES[strategy])
    held = {term.name: term.bytes for term in resident(given)}
    held.pop("small parameters, whole", None)  # ZeRO 3 parts with them for the step, and has all in the rest
    for phase in training_phases(given):
        assert held.items() <= {term.name: term.bytes for term in phase.terms}.items()


def test_adapters_need_less_than_all_parameters() -> None:
    full, lora = bytes_of(job()), bytes_of(job(**STRATEGIES["lora"]))
    assert all(lora[phase] < full[phase] for phase in full)
    assert lora["step"] < 0.2 * full["step"]


def test_offloads_free_what_they_move() -> None:
    plain = {term.name: term.bytes for term in resident(job())}
    assert plain.keys() == {"parameters", "Adam", "reference model"}

    def resting(name: str) -> set[str]:
        return {term.name for term in resident(job(**STRATEGIES[name]))}

    assert resting("adam offload") == {"parameters", "reference model"}
    assert resting("reference offload") == {"parameters", "Adam"}
    assert not resting("cpu offload")
    # Moving states away between updates leaves an update as it was.
    assert update(job(**STRATEGIES["adam offload"])) == update(job())


def test_states_of_7b_on_8_ranks_by_hand() -> None:
    p = 7_615_616_512

    def step(**sections: Any) -> int:
        return bytes_of(job(algorithm={"init_kl_coef": 0}, **sections))["step"]

    assert step() == pytest.approx(16 * p / 8, rel=1e-6)
    assert step(memory={"use_mp_opt": True}) == pytest.approx(20 * p / 8, rel=1e-6)
    assert step(parallel={"zero_stage": 1}) == pytest.approx(2 * p + 2 * p + 4 * p + 12 * p / 8, rel=1e-6)


def test_unsharded_where_there_is_one_rank_in_float32() -> None:
    phases = training_phases(job(1, SMALL, CPU, model={"bf16": False}, algorithm={"init_kl_coef": 0}))
    assert phases[2].bytes == 16 * SMALL.params
    assert not any("gathered" in term.name for phase in phases for term in phase.terms)


def test_kept_activations_of_published_shapes() -> None:
    """Counted by hand for one token and layer: norms, attention, MLP."""
    h, i, q, k = 3584, 18944, 28 * 128, 4 * 128
    batch = {"micro_train_batch_size": 1}
    terms = {t.name: t.bytes for t in update(job(batch=batch, memory={"chunk_size": 64})).terms}
    per_token = 8 * h + 8 + 4 * q + 4 * k + 4 * 28 + 8 * i
    assert divmod(terms["activations"], 4095 * per_token) == (27, 0), "the last but one layer's backward pass"


def test_a_search_can_ask_thousands_of_times() -> None:
    jobs = [job(ranks, batch=BATCHES, **s) for ranks in (8, 16, 32, 64) for s in STRATEGIES.values()]
    for each in jobs:
        training_phases(each)
    started = time.process_time()
    for each in jobs * 4:
        training_phases(each)
    assert (time.process_time() - started) / (4 * len(jobs)) < 1e-3  # 0.3 ms on a machine that is not busy


def test_experts_are_sharded_by_rows() -> None:
    """A tensor of 8 experts over 64 ranks is whole rows on 8 of them."""
    from engine.footprint.shape import Experts

    experts = Experts(count=8, per_token=2, width=1024)
    mixture: ModelShape = replace(SMALL, family="mixtral", experts=experts)
    parameters = next(t for t in training_phases(job(64, mixture))[2].terms if t.name == "parameters")
    assert parameters.bytes > 4 * mixture.params / 9
