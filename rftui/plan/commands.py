"""The command that asks about the same run on other GPUs, or with a smaller model."""

import shlex
from typing import Any

import presets.loader
from diagnostics.places import described_place
from engine.config.registry import value_of
from engine.footprint.job import Place
from engine.footprint.typical import SIZE
from rftui.plan.knobs import ENGINE
from rftui.plan.request import Request
from rftui.plan.words import GB, flag

PRETRAIN, NPROC = "model.pretrain", "parallel.nproc"
ASKED = ("model", "algorithm", "batch", "rollout", "parallel", "memory")
"""Sections that decide what fits."""


def plan_command(request: Request, *options: str) -> str:
    """`rft plan` with the request's preset, model and given values, and some of its own `options`.

    Whole, so that it is right wherever it is printed: launches have no `--gpus`.
    """
    values, sources = request.resolved.config, request.resolved.sources
    preset = next((name for name in presets.loader.names() if f"preset {name}" in sources.values()), None)
    given: dict[str, Any] = {
        key: value_of(values, key)
        for key, source in sources.items()
        if key.partition(".")[0] in ASKED and (preset is None or source != f"preset {preset}")
    }
    if NPROC in sources:
        given[NPROC] = request.place.ranks_per_node
    if not request.described:
        given.setdefault(ENGINE, request.job.engine)
    if SIZE.fullmatch(request.shape.name) and request.shape.name != values.model.pretrain:
        given.pop(PRETRAIN, None)
        options = (f"--params {request.shape.name}", *options)
    flags = [_edit(key, value) for key, value in given.items()]
    return " ".join(["rft plan", *([preset] if preset else []), *flags, *options])


def place_options(place: Place) -> list[str]:
    """What describes a place; RAM is told where it is not what would be assumed."""
    gpus = f"{place.ranks_per_node}x{place.device.name}"
    options = [f"--gpus {gpus}"] + [f"--nodes {place.nodes}"] * (place.nodes > 1)
    if place.host_memory != described_place(gpus, place.nodes).host_memory:
        options.append(f"--host-memory {place.host_memory // GB}")
    return options


def _edit(key: str, value: Any) -> str:
    """One setting on a command line; only `--set` can unset one of any kind."""
    if value is None:
        return f"--set {key}=null"
    parts = value if isinstance(value, list | tuple) else [value]
    words = ",".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts)
    return f"--{flag(key).replace('_', '-')} {shlex.quote(words)}"
