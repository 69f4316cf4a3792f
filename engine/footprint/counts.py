"""Numbers of parameters and of tensors, counted from the modules that a model has."""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from engine.footprint.modules import embeddings, final_norm, layer_kinds
from engine.footprint.vision import TOWERS, vision_modules

if TYPE_CHECKING:
    from engine.footprint.shape import ModelShape


class Counts(NamedTuple):
    """Parameters, as the properties of ModelShape describe them, and tensors."""

    params: int
    params_text: int
    embedding: int
    head: int
    layer: int
    largest_layer: int
    active: int
    matmul: int
    tensors: int


@lru_cache(maxsize=1024)
def counts(shape: "ModelShape") -> Counts:
    """All counts of a model; kept, because a search for a plan asks for them again and again."""
    tokens, *positions = embeddings(shape)
    ends = [tokens, *positions, final_norm(shape)]
    head = 0 if shape.tied else tokens.params
    kinds = [
        (number, sum(m.params for m in modules), sum(m.tensors for m in modules))
        for number, modules in layer_kinds(shape)
    ]
    in_layers = sum(number * params for number, params, _ in kinds)
    text = sum(module.params for module in ends) + head + in_layers
    active = text - _idle_experts(shape)
    looked_up = sum(module.params for module in positions) + head  # the head's size is the embedding's
    tower = (
        list(vision_modules(shape.family, shape.vision)) if shape.vision and shape.family in TOWERS else []
    )
    return Counts(
        params=text + (shape.vision.params if shape.vision else 0),
        params_text=text,
        embedding=tokens.params,
        head=head,
        layer=in_layers // shape.layers,
        largest_layer=max(params for _, params, _ in kinds),
        active=active,
        matmul=active - looked_up,
        tensors=sum(module.tensors for module in (*ends, *tower))
        + (not shape.tied)
        + sum(number * tensors for number, _, tensors in kinds),
    )


def _idle_experts(shape: "ModelShape") -> int:
    """Parameters of the experts that a token is not sent to."""
    if not (experts := shape.experts):
        return 0
    idle = experts.count - experts.per_token
    return (shape.layers - experts.dense_layers) * idle * 3 * shape.hidden * experts.width
