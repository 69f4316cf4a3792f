"""A plan as a file: exactly what would run, or what was given as a preset of the user's own."""

from pathlib import Path
from typing import Any

from engine.config.load import dump_resolved
from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.config.yamlfile import dump_scalar
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from presets.loader import user_dir
from rftui.plan.writing import write_preset
from rftui.runs.rundir import check_name
from rftui.tui.planning.consider import Considered, Ground


def write_exact(now: Considered, ground: Ground, path: Path) -> None:
    """Every value that was given or chosen, for `rft launch PATH`; raises FindingsError."""
    if now.plan is not None and not now.stale:
        write_preset(now.plan, path, ground.name)
    else:
        _write(path, dump_resolved(now.resolved))


def preset_path(name: str) -> Path:
    """Where a preset of this name would be kept; raises FindingsError for what is no name."""
    check_name(name)
    return user_dir() / f"{name}.yaml"


def why_no_preset(name: str) -> str:
    """Why nothing can be kept under a name; nothing where it can."""
    try:
        path = preset_path(name)
    except FindingsError as error:
        return error.findings[0].cause
    return f"{path} exists: give another name" if path.exists() else ""


def save_preset(now: Considered, ground: Ground, name: str) -> Path:
    """Keep what the preset and the user gave under a name; what the planner chooses stays open.

    So it is planned anew on every machine. Raises FindingsError.
    """
    path = preset_path(name)
    _write(path, _preset_text(now, ground, name))
    return path


def _preset_text(now: Considered, ground: Ground, name: str) -> str:
    preset = ground.preset
    keys = dict.fromkeys([*(preset.layer.values if preset else ()), *now.edits.values])
    about: dict[str, Any] = {"title": name}
    if preset is not None:
        needs = [key for key in preset.needs if key not in keys]
        about |= {"task": preset.task, "description": f"Made from {preset.name}", "needs": needs}
    lines = [f"{key}: {dump_scalar(value)}" for key, value in about.items() if value]
    for section in RunConfig.model_fields:
        of_section = [key for key in keys if key.startswith(f"{section}.")]
        lines += [f"{section}:"] if of_section else []
        for key in of_section:
            lines.append(f"  {key.partition('.')[2]}: {dump_scalar(value_of(now.resolved.config, key))}")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        cause = f"{path} cannot be written: {error.strerror or error}."
        fix = Fix("give a file in a folder you can write to")
        raise FindingsError(
            [Finding("plan.not-written", "error", cause, fixes=(fix,))], EXIT_UNFIT
        ) from error
