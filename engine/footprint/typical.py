"""Shapes for a number of parameters alone: a bundled model of about that size, scaled to it."""

import math
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from engine.findings import Finding, FindingsError, Fix
from engine.footprint.bundled import table
from engine.footprint.model_config import shape_of
from engine.footprint.shape import ModelShape

UNITS = {"M": 1e6, "B": 1e9, "T": 1e12}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([MBT])\s*(?:-?\s*A(\d+(?:\.\d+)?)\s*([MBT]))?\s*", re.IGNORECASE)
LEAST, MOST = 100e6, 800e9
"""Sizes that the bundled dense models can be scaled to."""
PLAIN = ("llama", "mistral", "qwen2", "qwen3")
"""Families of dense models that are like most others."""
LARGE_VOCABULARY = 100_000
"""Like that of today's models; logits of a smaller one would promise too much."""
WIDTH_STEP = 64


def shape_of_size(text: str) -> ModelShape:
    """A typical shape for `7B`, `0.5B`, `350M`; for `30B-A3B` that of the nearest mixture of experts.

    A dense model is the nearest bundled one with more or fewer layers, its MLP adjusted: within 3 % of the
    size asked for. Not exact; `note` says what it is. Raises FindingsError: model.size-invalid.
    """
    return _typical(text)[0]


def config_of_size(text: str) -> dict[str, Any]:
    """The `config.json` of the model that `shape_of_size` describes, of its dimensions only."""
    shape, base = _typical(text)
    (config,) = (entry.config for entry in table() if entry.id == base.name)
    changed: dict[str, int | None] = {"num_hidden_layers": shape.layers, "intermediate_size": shape.mlp}
    if "sliding_window" in config:
        changed["sliding_window"] = shape.window
    return config | changed


def _typical(text: str) -> tuple[ModelShape, ModelShape]:
    """The shape, and the bundled one that it is made from."""
    match = SIZE.fullmatch(text)
    if not match:
        raise FindingsError([_invalid(f"{text!r} is not a size of a model.")])
    number, unit, active, active_unit = match.groups()
    size = float(number) * UNITS[unit.upper()]
    if active:
        return _typical_experts(text.strip(), size, float(active) * UNITS[active_unit.upper()])
    if not LEAST <= size <= MOST:
        raise FindingsError(
            [_invalid(f"no typical model has {text.strip()} parameters: 100M to 800B can be planned.")]
        )
    return _typical_dense(text.strip(), size)


def _typical_dense(text: str, size: float) -> tuple[ModelShape, ModelShape]:
    shapes = [s for s in _shapes() if s.family in PLAIN]
    today = [s for s in shapes if s.vocab >= LARGE_VOCABULARY and 2 * s.params_embedding < size]
    base = min(today or shapes, key=lambda shape: abs(math.log(shape.params / size)))
    in_layers = size - (base.params - base.layers * base.params_layer)
    layers = max(1, round(in_layers / base.params_layer))
    surplus = (in_layers - layers * base.params_layer) / (layers * 3 * base.hidden)
    width = base.mlp + round(surplus / WIDTH_STEP) * WIDTH_STEP
    note = f"a typical dense model of {text}: {base.name} with {layers} layers and an MLP of {width}"
    shape = replace(
        base, name=text, layers=layers, mlp=width, windowed_layers=0, window=None, exact=False, note=note
    )
    return shape, base


def _typical_experts(text: str, size: float, active: float) -> tuple[ModelShape, ModelShape]:
    shapes = [s for s in _shapes() if s.experts]
    near = min(shapes, key=lambda s: abs(math.log(s.params / size)) + abs(math.log(s.params_active / active)))
    if not (0.9 < near.params / size < 1.1 and 0.75 < near.params_active / active < 1.25):
        known = ", ".join(f"{_billions(s.params)}-A{_billions(s.params_active)} ({s.name})" for s in shapes)
        raise FindingsError([_invalid(f"no bundled mixture of experts is near {text}; there are {known}.")])
    note = f"a typical mixture of experts of {text}: {near.name}"
    return replace(near, name=text, exact=False, note=note), near


@lru_cache(maxsize=1)
def _shapes() -> tuple[ModelShape, ...]:
    """Bundled models without a vision tower."""
    shapes = (shape_of(entry.config, entry.id) for entry in table())
    return tuple(shape for shape in shapes if not shape.vision)


def _billions(number: int) -> str:
    return f"{number / 1e9:.3g}B"


def _invalid(cause: str) -> Finding:
    return Finding(
        id="model.size-invalid",
        severity="error",
        cause=cause,
        fixes=(
            Fix(
                "write a number and M or B, such as 0.5B, 7B, 32B or 30B-A3B", command="rft plan --params 7B"
            ),
            Fix("or name a model", command="rft plan --pretrain Qwen/Qwen2.5-7B"),
        ),
    )
