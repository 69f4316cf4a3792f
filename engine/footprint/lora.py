"""The size of LoRA adapters, as `engine/models/lora.py` makes them with peft."""

from collections.abc import Iterator
from functools import lru_cache

from engine.findings import Finding, FindingsError, Fix
from engine.footprint.modules import Module, layers
from engine.footprint.shape import Experts, ModelShape
from engine.footprint.vision import vision_modules
from engine.models.lora_targets import chosen_targets, is_target

EXPERTS_BY_NAME = {"qwen3_moe", "deepseek_v2", "deepseek_v3"}
"""Families in which peft takes the names of MLP layers to mean those of the experts, and no others.

transformers has the experts' weights in two tensors, which peft 0.21 maps these names to
(`transformers_weight_conversion.py`).
"""
GATE_UP, DOWN = ("gate_proj", "up_proj"), "down_proj"


@lru_cache(maxsize=256)
def lora_params(shape: ModelShape, rank: int, target_modules: str) -> int:
    """Parameters of adapters of this rank: `rank · (in + out)` for each layer adapted.

    `target_modules` as the configuration has it: `all-linear` (all but the head), or ends of names by comma.
    Raises FindingsError (model.lora-target).
    """
    linear = {module.name: module for module in _linear(shape)}
    targets = chosen_targets(list(linear), target_modules)
    in_experts = 0
    if shape.experts and shape.family in EXPERTS_BY_NAME:
        meant = {last for target in targets if (last := target.rpartition(".")[2]) in (*GATE_UP, DOWN)}
        targets = [target for target in targets if target.rpartition(".")[2] not in meant]
        in_experts = _in_experts(shape, shape.experts, meant)
    exact = set(targets)
    ends = [target for target in targets if target not in linear]
    adapted = (
        module
        for name, module in linear.items()
        if name in exact or any(is_target(name, target) for target in ends)
    )
    return rank * (in_experts + sum(sum(module.weight) for module in adapted))


def _in_experts(shape: ModelShape, experts: Experts, meant: set[str]) -> int:
    """Inputs and outputs of adapters in experts. Gate and up share one, of twice the rank."""
    together = meant & set(GATE_UP)
    if len(together) == 1:
        raise FindingsError([_half_a_tensor(*together)])
    gate_up = 2 * (shape.hidden + 2 * experts.width) if together else 0
    down = experts.width + shape.hidden if DOWN in meant else 0
    return (shape.layers - experts.dense_layers) * experts.count * (gate_up + down)


def _linear(shape: ModelShape) -> Iterator[Module]:
    """All linear layers but the head, by their names in the model."""
    for prefix, modules in layers(shape):
        yield from (module._replace(name=prefix + module.name) for module in modules if module.linear)
    if shape.vision:
        yield from (module for module in vision_modules(shape.family, shape.vision) if module.linear)


def _half_a_tensor(name: str) -> Finding:
    other = GATE_UP[1 - GATE_UP.index(name)]
    return Finding(
        id="model.lora-target",
        severity="error",
        cause=f"target_modules has {name} without {other}: the experts keep both in one tensor.",
        fixes=(Fix(f"add {other}"), Fix(f"leave {name} out")),
        param="model.target_modules",
    )
