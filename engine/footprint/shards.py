"""How many elements FSDP2 makes of a model: tensors are cut by rows, so the fullest shard has whole rows."""

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from typing import NamedTuple

from engine.footprint.lora import lora_params
from engine.footprint.modules import Module, embeddings, final_norm, layer_kinds
from engine.footprint.shape import ModelShape
from engine.footprint.vision import vision_modules
from engine.models.lora_targets import ALL_LINEAR, is_target


class Shards(NamedTuple):
    """Elements on the fullest rank, of one decoder layer (the largest), of all of them, and of the root.

    The root has what stands outside decoder layers: embedding, head, final norm.
    """

    layer: int
    layers: int
    root: int

    @property
    def all(self) -> int:
        return self.layers + self.root


@lru_cache(maxsize=1024)
def model_shards(shape: ModelShape, ranks: int) -> Shards:
    """Of a whole model over so many ranks."""
    kinds = [(number, _elements(modules, ranks)) for number, modules in layer_kinds(shape)]
    ends = [*embeddings(shape), final_norm(shape)] + ([] if shape.tied else [embeddings(shape)[0]])
    tower = vision_modules(shape.family, shape.vision) if shape.vision else ()
    return Shards(
        layer=max(elements for _, elements in kinds),
        layers=sum(number * elements for number, elements in kinds),
        root=_elements([*ends, *tower], ranks),
    )


@lru_cache(maxsize=1024)
def small_params(shape: ModelShape, limit: int) -> int:
    """Parameters in tensors of at most so many elements."""
    kinds = [*layer_kinds(shape), (1, (*embeddings(shape), final_norm(shape)))]
    sizes = [
        (number, size)
        for number, modules in kinds
        for module in modules
        for size in (prod(module.weight), module.bias * module.weight[0])
    ]
    return sum(number * size for number, size in sizes if size <= limit)


@lru_cache(maxsize=1024)
def adapter_shards(shape: ModelShape, rank: int, target_modules: str, ranks: int) -> Shards:
    """Of the adapters alone, which are all in decoder layers."""
    params = lora_params(shape, rank, target_modules)
    factors = [
        (number, factor)
        for number, module in adapted(shape, target_modules)
        for factor in (Module("A", (rank, module.weight[1])), Module("B", (module.weight[0], rank)))
    ]
    in_linear = sum(number * factor.params for number, factor in factors)
    total = sum(number * _elements([factor], ranks) for number, factor in factors)
    total += -(-(params - in_linear) // ranks)  # of experts
    return Shards(layer=-(-total // shape.layers), layers=total, root=0)


@lru_cache(maxsize=1024)
def adapted(shape: ModelShape, target_modules: str) -> tuple[tuple[int, Module], ...]:
    """The kinds of linear layers of the decoder that get an adapter, and how many of each there are."""
    targets = [target.strip() for target in target_modules.split(",")]
    return tuple(
        (number, module)
        for number, modules in layer_kinds(shape)
        for module in modules
        if module.linear and (ALL_LINEAR in targets or any(is_target(module.name, t) for t in targets))
    )


def _elements(modules: Iterable[Module], ranks: int) -> int:
    """Rows are dealt as `torch.chunk` does: as many to each rank as the first one needs."""
    return sum(-(-module.weight[0] // ranks) * (prod(module.weight[1:]) + module.bias) for module in modules)
