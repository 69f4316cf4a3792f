"""Constants and shards of states, held to the engine and to torch."""

import torch

from engine.footprint import states
from engine.footprint.shards import model_shards
from engine.strategy import zero_engine
from tests.engine.footprint.training_jobs import SHAPE, SMALL, job


def test_the_bucket_is_the_engines() -> None:
    assert states.BUCKET == zero_engine.BUCKET


def test_rows_are_dealt_as_torch_does() -> None:
    rows, ranks = SMALL.kv_heads * SMALL.head_dim, 48
    assert len(torch.empty(rows, 1).chunk(ranks)[0]) == 3
    one, many = model_shards(SMALL, 1), model_shards(SMALL, ranks)
    assert one.all == SMALL.params
    assert one.root == SMALL.params_embedding + SMALL.params_head + SMALL.hidden
    assert one.layer == SMALL.params_largest_layer
    assert many.all > SMALL.params / ranks


def test_bytes_of_parameters_by_strategy() -> None:
    def parameters(**sections: object) -> int:
        return sum(term.bytes for term in states.parameters(job(**sections)))  # type: ignore[arg-type]

    p = SHAPE.params
    assert parameters() == 4 * p / 8
    assert parameters(memory={"use_mp_opt": True}) == 2 * p / 8
    assert parameters(parallel={"fsdp_shard_size": 2}) == 4 * p / 2
    assert parameters(parallel={"zero_stage": 2}) == 2 * p
    assert parameters(parallel={"zero_stage": 3}) == 2 * p / 8
    lora = states.parameters(job(model={"lora_rank": 8}))
    assert [term.name for term in lora] == ["frozen base", "parameters"]
    assert lora[0].bytes == 2 * p / 8
    assert lora[1].bytes == 4 * states.trained(job(model={"lora_rank": 8})) / 8
