"""The memory model of the training side: what it must never do, whatever the numbers."""

from itertools import pairwise
from typing import Any

import pytest

from engine.config.sections import RunConfig
from engine.footprint.devices import GIB, Device
from engine.footprint.job import Job, Place
from engine.footprint.shape import ModelShape
from engine.footprint.training import resident, training_phases

SHAPE = ModelShape("Qwen2.5-7B", "qwen2", 3584, 28, 28, 4, 128, 18944, 152064, qkv_bias=True)
A100 = Device("A100", 80 * GIB, 2e12, 312e12)


def job(ranks: int = 8, shape: ModelShape = SHAPE, **sections: dict[str, Any]) -> Job:
    place = Place(A100, ranks, min(ranks, 8), min(ranks, 8), 79 * GIB, 10**12)
    return Job(RunConfig.model_validate(sections), shape, place)


def bytes_of(job: Job) -> dict[str, int]:
    return {phase.phase: phase.bytes for phase in training_phases(job)}


STRATEGIES: dict[str, dict[str, Any]] = {
    "fsdp2": {},
    "use_mp_opt": {"memory": {"use_mp_opt": True}},
    "cpu offload": {"memory": {"fsdp_cpu_offload": True}},
    "zero 1": {"parallel": {"zero_stage": 1}},
    "zero 2": {"parallel": {"zero_stage": 2}},
    "zero 3": {"parallel": {"zero_stage": 3}},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_ranks_never_need_more_each(strategy: str) -> None:
    sections = {"batch": {"train_batch_size": 1024, "rollout_batch_size": 1024}, **STRATEGIES[strategy]}
    phases = [bytes_of(job(ranks, **sections)) for ranks in (2, 8, 64, 512)]
    for few, many in pairwise(phases):
        assert all(many[phase] <= few[phase] for phase in few)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_formula_says_what_it_adds_up_to(strategy: str) -> None:
    for phase in training_phases(job(**STRATEGIES[strategy])):
        assert phase.bytes == sum(term.bytes for term in phase.terms)
        for term in phase.terms:
            assert term.bytes > 0 and term.source and term.where == "torch"


def test_what_stays_between_updates_is_part_of_every_phase() -> None:
    for strategy in STRATEGIES.values():
        held = {term.name: term.bytes for term in resident(job(**strategy))}
        for phase in training_phases(job(**strategy)):
            present = {term.name: term.bytes for term in phase.terms}
            assert held.items() <= present.items()
