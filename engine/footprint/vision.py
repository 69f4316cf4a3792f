"""The modules of the vision towers of Qwen's vision-language models, by the names transformers gives them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.footprint.modules import Layer, Module, linear

if TYPE_CHECKING:
    from engine.footprint.shape import Vision

TOWERS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Model types whose tower is known."""


def vision_modules(family: str, vision: "Vision") -> Iterator[Module]:
    """All modules of a tower, with their names inside the model."""
    patch = (vision.hidden, vision.channels, vision.frames, vision.patch, vision.patch)
    newest = family.startswith("qwen3")
    yield Module("model.visual.patch_embed.proj", patch, bias=newest)
    if vision.positions:
        yield Module("model.visual.pos_embed", (vision.positions, vision.hidden))
    block = _block(family, vision)
    for i in range(vision.depth):
        yield from (module._replace(name=f"model.visual.blocks.{i}.{module.name}") for module in block)
    first, second = ("linear_fc1", "linear_fc2") if newest else ("mlp.0", "mlp.2")
    merged = vision.hidden * vision.merge**2
    mergers = ["merger", *(f"deepstack_merger_list.{i}" for i in range(vision.deepstack))]
    for merger in mergers:
        normed = vision.hidden if merger == "merger" else merged
        yield Module(f"model.visual.{merger}.norm", (normed,), bias=family != "qwen2_5_vl")
        yield linear(f"model.visual.{merger}.{first}", merged, merged, bias=True)
        yield linear(f"model.visual.{merger}.{second}", merged, vision.out, bias=True)


def _block(family: str, vision: "Vision") -> Layer:
    h, width = vision.hidden, vision.mlp
    norm_bias = family != "qwen2_5_vl"
    mlp = {
        "qwen2_vl": (linear("mlp.fc1", h, width, True), linear("mlp.fc2", width, h, True)),
        "qwen2_5_vl": (
            linear("mlp.gate_proj", h, width, True),
            linear("mlp.up_proj", h, width, True),
            linear("mlp.down_proj", width, h, True),
        ),
    }.get(family, (linear("mlp.linear_fc1", h, width, True), linear("mlp.linear_fc2", width, h, True)))
    return (
        Module("norm1", (h,), norm_bias),
        Module("norm2", (h,), norm_bias),
        linear("attn.qkv", h, 3 * h, True),
        linear("attn.proj", h, h, True),
        *mlp,
    )
