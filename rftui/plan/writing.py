"""A plan as a preset that `rft launch` takes."""

from pathlib import Path

from engine.config.registry import value_of
from engine.config.sections import RunConfig
from engine.config.yamlfile import dump_scalar
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from rftui.plan.knobs import ENGINE
from rftui.plan.result import Plan
from rftui.plan.words import flag


def write_preset(plan: Plan, path: Path, preset: str | None = None) -> None:
    """Write what was given and what was chosen, each choice with its reason; raises FindingsError.

    A plan that does not fit is not to be written: it is no advice.
    """
    try:
        path.write_text(preset_text(plan, preset), encoding="utf-8")
    except OSError as error:
        finding = Finding(
            id="plan.not-written",
            severity="error",
            cause=f"the plan cannot be written to {path}: {error.strerror}.",
            fixes=(Fix("give a file in a folder you can write to"),),
        )
        raise FindingsError([finding], EXIT_UNFIT) from error


def not_written(path: Path) -> Finding:
    """What is said in place of writing a plan that does not fit."""
    return Finding(
        id="plan.not-written",
        severity="error",
        cause=f"nothing was written to {path}: what does not fit is no preset.",
        fixes=(Fix("change what keeps it from fitting, and write it then"),),
    )


def preset_text(plan: Plan, preset: str | None = None) -> str:
    """The YAML of a plan, without the engine that was only assumed to be on the described machine."""
    place = plan.job.place
    on = f"{place.ranks} × {place.device.name}"
    about = f"{preset or 'Planned'} on {on}"
    kept = [key for key in plan.resolved.sources if not (key == ENGINE and key in plan.chosen)]
    lines = [f"title: {dump_scalar(about)}"]
    for section in RunConfig.model_fields:
        keys = [key for key in kept if key.startswith(f"{section}.")]
        if keys:
            lines.append(f"{section}:")
        for key in keys:
            why = f"  # {plan.reasons[key]}" if key in plan.chosen and key in plan.reasons else ""
            lines.append(f"  {flag(key)}: {dump_scalar(value_of(plan.resolved.config, key))}{why}")
    return "\n".join(lines) + "\n"
