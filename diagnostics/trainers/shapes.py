"""The dimensions of a model that a published case names, or of its size where the name says nothing."""

import re
from collections.abc import Iterator

from engine.findings import FindingsError
from engine.footprint.catalog import find_model
from engine.footprint.shape import ModelShape
from engine.footprint.typical import shape_of_size

CLOSE = 0.05
"""A model whose parameters differ by more from what the case states is another model."""
ALIASES = {
    "qwq-32b": "Qwen2.5-32B",
    "qwen2-72b": "Qwen2.5-72B",
    "qwen2-7b": "Qwen2.5-7B",
    "qwen2-1.5b": "Qwen2.5-1.5B",
    "qwen2-0.5b": "Qwen2.5-0.5B",
    "llama-3-8b": "Llama-3.1-8B",
    "llama-3-70b": "Llama-3.1-70B",
}
"""Same dimensions under another name."""


def shape_for(name: str | None, params: float | None) -> tuple[ModelShape, bool]:
    """The shape of `name` with about `params` parameters, and whether it is that model's own.

    Otherwise it is a usual shape of that size. Raises FindingsError where neither is known.
    """
    for candidate in _names(name or ""):
        try:
            shape = find_model(candidate)
        except FindingsError:
            continue
        if params is None or abs(shape.params / params - 1) <= CLOSE:
            return shape, True
    said = re.search(r"\b(\d[\d.]*[bm])\b(?:-(a\d[\d.]*b))?", (name or "").lower())
    if params is not None:
        active = f"-{said[2]}" if said and said[2] else ""
        return shape_of_size(f"{params / 1e9:.3f}B{active}"), False
    if said is None:
        return find_model(name or ""), True
    return shape_of_size(said[0]), False


def _names(name: str) -> Iterator[str]:
    if not name:
        return
    yield name
    bare = re.sub(r"-(instruct|chat|base|it|thinking|\d{4})\b", "", name, flags=re.IGNORECASE)
    yield bare
    last = bare.rpartition("/")[2].lower()
    if last in ALIASES:
        yield ALIASES[last]
