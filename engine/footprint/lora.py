"""The size of LoRA adapters, which `engine/models/lora.py` puts into linear layers."""

from collections.abc import Iterator
from functools import lru_cache

from engine.footprint.modules import Module, layers
from engine.footprint.shape import ModelShape
from engine.footprint.vision import vision_modules
from engine.models.lora_targets import chosen_targets, is_target


@lru_cache(maxsize=256)
def lora_params(shape: ModelShape, rank: int, target_modules: str) -> int:
    """Parameters of adapters of this rank: `rank · (in + out)` for each layer adapted.

    `target_modules` as the configuration has it: `all-linear` (all but the head), or ends of names by comma.
    Raises FindingsError (model.lora-target).
    """
    return rank * sum(sum(module.weight) for module in adapted(shape, target_modules))


def adapted(shape: ModelShape, target_modules: str) -> list[Module]:
    """The linear layers that get an adapter, by their whole names; `weight` is (out, in)."""
    linear = {module.name: module for module in _linear(shape)}
    targets = chosen_targets(list(linear), target_modules)
    if len(targets) == len(linear):
        return list(linear.values())
    return [module for name, module in linear.items() if any(is_target(name, target) for target in targets)]


def _linear(shape: ModelShape) -> Iterator[Module]:
    for prefix, modules in layers(shape):
        yield from (module._replace(name=prefix + module.name) for module in modules if module.linear)
    if shape.vision:
        yield from (module for module in vision_modules(shape.family, shape.vision) if module.linear)
