"""Options of `rft plan` that another one leaves without effect: refused, all at once."""

from collections.abc import Iterable, Iterator

import typer

from engine.config.registry import find
from engine.findings import Finding, Fix

WITH_CASE = {"case", "as_json"}
"""What `--case` heeds."""
NOT_WITH_COMPARE = ("write", "simulate")


def without_effect(context: typer.Context) -> list[Finding]:
    """What was given on the command line for nothing; one finding for each option that takes its effect."""
    given = {p.name: p.opts[0] for p in context.command.params if p.name and _was_given(context, p.name)}
    preset = [arg for arg in context.args[:1] if not arg.startswith("-")]
    flags = [arg for arg in context.args[len(preset) :] if arg.startswith("--")]
    if "case" in given:
        idle = [*preset, *(opt for name, opt in given.items() if name not in WITH_CASE), *flags]
        return _findings(idle, "--case")
    found: list[Finding] = []
    if "compare" in given:
        found += _findings(
            [*preset, *(given[name] for name in NOT_WITH_COMPARE if name in given)], "--compare"
        )
    if "params" in given:
        sets = context.params.get("sets") or ()
        found += _findings(_naming_a_model([*flags, *sets]), "--params")
    return found


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _naming_a_model(settings: Iterable[str]) -> Iterator[str]:
    for setting in settings:
        match = find(setting.removeprefix("--").partition("=")[0])
        if match is not None and match.parameter.key == "model.pretrain":
            yield setting if setting.startswith("--") else f"--set {setting}"


def _findings(idle: Iterable[str], option: str) -> list[Finding]:
    words = ", ".join(idle)
    if not words:
        return []
    verb = "have" if "," in words else "has"
    fixes = (Fix(f"leave out {words}"), Fix(f"or leave out {option}"))
    return [Finding("plan.no-effect", "error", f"{words} {verb} no effect with {option}.", fixes=fixes)]
