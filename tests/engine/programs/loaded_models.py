"""Policies and reference models read by rank 0 alone, beside the same read by every rank: bit for bit.

Argument: as JSON, sections of a configuration by the name of a case. Rank 0 prints a case's name when its
models are alike on every rank.
"""

import json
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from engine.build import build_models
from engine.checkpoint.tensors import checkpoint_tensors
from engine.config.sections import RunConfig
from engine.leaving import leave
from engine.models.loading import load_source
from engine.models.weight_names import engine_weights
from engine.schedule import plan_run
from engine.strategy import Strategy, get_strategy
from engine.trainer import Models


def main() -> None:
    for name, sections in json.loads(sys.argv[1]).items():
        strategy = get_strategy(RunConfig.model_validate(sections))
        once, drawn = built(strategy)
        assert all(not tensor.is_meta for tensor in tensors(once).values()), name
        strategy.fills_from_rank_0 = lambda *, trainable: False  # type: ignore[method-assign]
        everywhere, drawn_everywhere = built(strategy)
        assert torch.equal(drawn, drawn_everywhere), name
        same(tensors(once), tensors(everywhere), name)
        same(sent(once, strategy), sent(everywhere, strategy), name)
        strategy.barrier()
        strategy.print(f"{name}: alike")


def built(strategy: Strategy) -> tuple[Models, Tensor]:
    """Models, and the state that torch's generator is left in."""
    config = strategy.config
    torch.manual_seed(0)
    models = build_models(config, load_source(config, strategy, print), strategy, plan_run(config, 100))
    return models, torch.get_rng_state()


def tensors(models: Models) -> dict[str, Tensor]:
    """All that a rank has, tied ones under each of their names."""
    result = checkpoint_tensors(models.actor, models.optimizer)
    for part, model in (("actor", models.actor), ("reference", models.reference or nn.Module())):
        for kind in (model.named_parameters, model.named_buffers):
            result |= {f"{part}.{name}": tensor for name, tensor in kind(remove_duplicate=False)}
    return result


def sent(models: Models, strategy: Strategy) -> dict[str, Tensor]:
    named = strategy.named_full_parameters(models.actor)
    return {name: t.clone() for name, t in engine_weights(models.actor, named, on_disk=True)}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor], case: str) -> None:
    assert list(ours) == list(theirs), case
    assert tied(ours) == tied(theirs), case
    for name, tensor in ours.items():
        assert looks(tensor) == looks(theirs[name]), (case, name)
        assert torch.equal(local(tensor), local(theirs[name])), (case, name)


def tied(named: dict[str, Tensor]) -> list[int]:
    """For each tensor, the place of the first one that is the same object."""
    objects = [id(tensor) for tensor in named.values()]
    return [objects.index(each) for each in objects]


def looks(tensor: Tensor) -> tuple[Any, ...]:
    where = (tensor.device_mesh, tensor.placements) if isinstance(tensor, DTensor) else ()
    part = local(tensor)
    return tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad, part.stride(), *where


def local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


if __name__ == "__main__":
    main()
    leave(0)
