"""The heaviest micro-batch, held to what the engine collates."""

from typing import Any

import pytest
import torch

from engine.data.experience import WORTH_SHARING as ENGINE_WORTH_SHARING
from engine.data.experience import Experience, MicroBatch, collate
from engine.footprint.job import Job
from engine.footprint.workload import (
    WORTH_SHARING,
    Batch,
    logprob_batch,
    micro_batches,
    takes_layouts,
    update_batch,
)
from tests.engine.footprint.training_jobs import CPU, SMALL, job

LENGTHS = {"max_len": 96, "prompt_max_len": 64}


def collated(batch: Batch, of: Job) -> MicroBatch:
    per_prompt = -(-batch.sequences // batch.prompts)
    responses = [
        Experience((i // per_prompt,) * batch.prompt, [1] * batch.response, torch.zeros(0), False)
        for i in range(batch.sequences)
    ]
    packs = of.config.memory.packing_samples
    device = torch.device("cpu")
    return collate(responses, 0, device, share_prompts=takes_layouts(of.shape), pack=packs)


@pytest.mark.parametrize("family", ["llama", "gemma"])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("n", [1, 4, 6])
def test_tokens_and_rows_are_those_that_are_forwarded(family: str, packing: bool, n: int) -> None:
    from dataclasses import replace

    of = job(
        2,
        replace(SMALL, family=family),
        CPU,
        batch={"micro_train_batch_size": 4, "n_samples_per_prompt": n},
        rollout=LENGTHS,
        memory={"packing_samples": packing},
    )
    batch = update_batch(of)
    forwarded = collated(batch, of)
    assert batch.sequences == 4
    assert batch.tokens == forwarded.input_ids.numel() == forwarded.n_tokens
    assert batch.rows == len(forwarded.targets)
    assert (batch.arrangement == "padded") == (forwarded.position_ids is None)


def test_what_is_worth_sharing_is_what_the_engine_finds() -> None:
    assert WORTH_SHARING == ENGINE_WORTH_SHARING


def test_responses_to_one_prompt_share_it() -> None:
    def prompts(**batch: Any) -> int:
        return update_batch(job(batch={"train_batch_size": 128, "rollout_batch_size": 64, **batch})).prompts

    assert prompts(micro_train_batch_size=8, n_samples_per_prompt=8) == 1
    assert prompts(micro_train_batch_size=16, n_samples_per_prompt=4) == 4
    assert prompts(micro_train_batch_size=6, n_samples_per_prompt=4) == 3, "groups are cut"
    mixed = job(batch={"micro_train_batch_size": 8, "n_samples_per_prompt": 8}, optim={"max_epochs": 2})
    assert update_batch(mixed).prompts == 8, "later epochs mix them"


def test_a_token_budget_is_filled_with_responses() -> None:
    of = job(
        batch={"max_tokens_per_micro_batch": 8192, "train_batch_size": 512, "n_samples_per_prompt": 1},
        rollout={"max_len": 2048, "prompt_max_len": 1024},
    )
    batch = update_batch(of)
    assert batch.sequences == 7
    assert 8192 * 0.95 < batch.tokens <= 8192
    assert batch.rows == 7 * 1024
    assert micro_batches(of) == 10


def test_a_sequence_beyond_the_budget_makes_a_micro_batch_by_itself() -> None:
    batch = update_batch(job(batch={"max_tokens_per_micro_batch": 100}))
    assert (batch.sequences, batch.response) == (1, 2048)


def test_no_micro_batch_is_larger_than_a_ranks_share() -> None:
    of = job(8, batch={"micro_train_batch_size": 64, "train_batch_size": 16, "rollout_batch_size": 16})
    assert update_batch(of).sequences == 2
    assert micro_batches(of) == 1
    assert logprob_batch(of).sequences == 2


def test_ranks_share_the_tokens_of_a_sequence() -> None:
    alone, shared = (
        update_batch(job(batch={"micro_train_batch_size": 4}, parallel={"sp_size": n})) for n in (1, 4)
    )
    assert shared.all_tokens == alone.all_tokens
    assert shared.tokens == -(-alone.tokens // 4)
    assert shared.rows <= shared.tokens
