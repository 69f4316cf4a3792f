"""One rank reads a model's weights; the others hold its modules alone until the model is sharded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.findings import FindingsError
from engine.models.loading import ModelSource
from engine.strategy import Strategy


@dataclass(frozen=True)
class Loaded:
    """A model in host memory. `whole`: with weights on every rank; else on rank 0, elsewhere on meta."""

    model: Any
    whole: bool


@dataclass(frozen=True)
class _Likeness:
    """What makes a model of modules alone the one that rank 0 has loaded."""

    tensors: dict[str, tuple[torch.Size, torch.dtype]]
    conversions: Any
    """What transformers did to the checkpoint's tensors, which it undoes when weights leave the model."""

    @classmethod
    def of(cls, model: Any) -> "_Likeness":
        tensors = {name: (tensor.shape, tensor.dtype) for name, tensor in _named(model)}
        return cls(tensors, getattr(model, "_weight_conversions", None))


def load_once(source: ModelSource, dtype: torch.dtype, strategy: Strategy) -> Loaded:
    """`source.load` on rank 0, and the same model on the meta device on all others. Collective.

    Where a model cannot be built so, or comes out unlike the loaded one, every rank loads it, and rank 0
    prints why. Raises FindingsError on every rank, as `source.load` does on rank 0.
    """
    model: Any = None
    told: _Likeness | FindingsError | None = None
    if strategy.rank == 0:
        try:
            model = source.load(dtype)
            told = _Likeness.of(model)
        except FindingsError as error:
            told = error
    told = strategy.broadcast_object(told)
    if isinstance(told, FindingsError):
        raise told
    obstacle = None
    if strategy.rank > 0:
        model, obstacle = _without_weights(source, dtype, told)
    obstacles = [o for o in strategy.all_gather_objects(obstacle) if o is not None]
    if obstacles:
        strategy.print(f"every rank loads the whole model into host memory: {obstacles[0]}")
        model = source.load(dtype) if strategy.rank > 0 else model
    on_meta = any(parameter.is_meta for parameter in model.parameters())
    return Loaded(model, whole=not any(strategy.all_gather_objects(on_meta)))


def _without_weights(
    source: ModelSource, dtype: torch.dtype, loaded: _Likeness | None
) -> tuple[Any, str | None]:
    """A model on the meta device that is like the one that rank 0 has loaded, or what stands against it."""
    assert loaded is not None
    try:
        model = source.outline(dtype)
    except Exception as error:  # whatever a model's own code raises where there are no numbers
        return None, f"it cannot be built without its weights ({type(error).__name__}: {error})"
    for name, tensor in _named(model):
        if name in loaded.tensors:  # of some models a few stay float32, whatever is asked for
            tensor.data = tensor.data.to(loaded.tensors[name][1])
    unlike = _Likeness.of(model).tensors.items() ^ loaded.tensors.items()
    if unlike:
        return None, f"built without its weights it differs in {min(name for name, _ in unlike)}"
    if loaded.conversions is not None:
        model._weight_conversions = loaded.conversions
    return model, None


def _named(model: Any) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
