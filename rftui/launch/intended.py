"""What a launch would run with: a preset or file, and what the planner chooses for it on this machine."""

from collections.abc import Sequence
from pathlib import Path

from engine.config.sections import RunConfig


def intended(preset: str, sets: Sequence[str], runs_dir: Path) -> RunConfig:
    """`preset`: name or file, empty for the defaults; `sets`: `section.key=value`. Raises FindingsError."""
    import presets.loader
    from diagnostics.hardware import detect
    from engine.config.load import Layer, layer_from_sets, resolve
    from rftui.launch.prepare import default_ranks
    from rftui.launch.sizing import size

    layers: list[Layer] = [presets.loader.load(preset).layer] if preset else []
    resolved = resolve([*layers, layer_from_sets(sets)])
    hardware = detect(folder=runs_dir)
    ranks = resolved.config.parallel.nproc or default_ranks(hardware)
    plan, _ = size(resolved, ranks, hardware, None, as_is=False)
    return plan.resolved.config if plan is not None and plan.fits else resolved.config
