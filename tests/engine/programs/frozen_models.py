"""Frozen models on several ranks: sharded, run forward, moved to host memory and back. Argument: a strategy.

Each rank compares what it gets with the same model whole.
"""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AutoModelForSequenceClassification, Qwen2Config

from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.strategy import Strategy, get_strategy
from tests.engine.tiny import SIZES, tiny_model


def main() -> None:
    sections = {"parallel": json.loads(sys.argv[1]), "memory": {"ref_reward_offload": True}}
    for bf16 in (False, True):
        config = RunConfig.model_validate({**sections, "model": {"bf16": bf16}})
        strategy = get_strategy(config)
        for shard_size in (None, 1):
            same_outputs(strategy, reward_model, shard_size)
            same_outputs(strategy, tiny_model, shard_size)


def reward_model() -> nn.Module:
    torch.manual_seed(0)
    config = Qwen2Config(**SIZES, num_labels=1, pad_token_id=0)
    return AutoModelForSequenceClassification.from_config(config)


def same_outputs(strategy: Strategy, make: Callable[[], nn.Module], shard_size: int | None) -> None:
    own = torch.Generator().manual_seed(strategy.rank)
    ids = torch.randint(1, 61, (2 + strategy.rank, 7), generator=own)
    model = make()
    assert strategy.prepare_model(model, trainable=False, shard_size=shard_size) is model
    assert not model.training
    whole = make().eval()
    for parameter in whole.parameters():  # buffers, such as those of positions, stay float32
        parameter.data = parameter.data.to(strategy.compute_dtype)
    pieces = {p.to_local().numel() / p.numel() for p in model.parameters() if isinstance(p, DTensor)}
    assert min(pieces) < 0.51 if shard_size is None else pieces == {1.0}
    for _ in range(2):
        strategy.maybe_load_model(model)
        assert torch.equal(logits(model, ids), logits(whole, ids))
        strategy.maybe_offload_model(model)


@torch.no_grad()
def logits(model: nn.Module, ids: Tensor) -> Tensor:
    result: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return result


if __name__ == "__main__":
    main()
    leave(0)
