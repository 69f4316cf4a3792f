"""Which linear layers LoRA adapters go into, by their names. Imports neither torch nor transformers."""

from collections.abc import Sequence
from difflib import get_close_matches

from engine.findings import Finding, FindingsError, Fix

ALL_LINEAR = "all-linear"


def chosen_targets(linear: Sequence[str], wanted: str) -> list[str]:
    """Names for peft of the layers to adapt, of the model's `linear` layers without the head.

    `wanted`: `all-linear`, or ends of names by comma. Raises FindingsError (model.lora-target).
    """
    if wanted.strip() == ALL_LINEAR:
        return list(linear)
    targets = [target.strip() for target in wanted.split(",") if target.strip()]
    unknown = [target for target in targets if not any(is_target(name, target) for name in linear)]
    if unknown or not targets:
        raise FindingsError([_unknown_targets(unknown, targets, linear)])
    return targets


def is_target(name: str, target: str) -> bool:
    """Whether peft adapts the layer of this name when told `target`."""
    return f".{name}".endswith(f".{target}")


def _unknown_targets(unknown: Sequence[str], targets: Sequence[str], linear: Sequence[str]) -> Finding:
    names = list(dict.fromkeys(name.rpartition(".")[2] for name in linear))
    near = {t: (get_close_matches(t.rpartition(".")[2], names, n=1, cutoff=0.5) or [""])[0] for t in unknown}
    instead = ",".join(dict.fromkeys(name for t in targets if (name := near.get(t, t))))
    cause = (
        f"target_modules names no linear layer of the decoder with {', '.join(map(repr, unknown))}."
        if unknown
        else "target_modules is empty."
    )
    fixes = [Fix("adapt all linear layers", set={"model.target_modules": ALL_LINEAR})]
    if any(near.values()):
        fixes.insert(0, Fix(f"set target_modules to {instead}", set={"model.target_modules": instead}))
    return Finding(
        id="model.lora-target",
        severity="error",
        cause=cause,
        evidence=(f"its linear layers: {', '.join(names)}",),
        fixes=tuple(fixes),
        param="model.target_modules",
    )
