"""Parameters whose feature this version does not have yet: refused by name, never ignored."""

import re
from typing import Any, NamedTuple

from engine.config.registry import Parameter, parameters
from engine.config.values import show
from engine.findings import Finding, Fix

# What trackers give out as keys: 32 or more letters and digits in a row.
_KEY = re.compile(r"[0-9A-Za-z_-]{32,}")


class Feature(NamedTuple):
    """A parameter (`section.key`), the values of it that are not available, in words, and its help line."""

    param: str
    values: str
    help: str


def not_built() -> list[Feature]:
    """Everything that this version refuses."""
    return [
        Feature(parameter.key, _values(parameter), parameter.help)
        for parameter in parameters().values()
        if parameter.not_built
    ]


def refusal(value: Any, parameter: Parameter, place: str = "") -> Finding | None:
    """The finding for a given value whose feature is not built; None if it may be used."""
    if not parameter.refuses(value):
        return None
    return Finding(
        id="config.not-available",
        severity="error",
        cause=f"{parameter.key} = {_shown(value)}: not available in this version (“{parameter.help}”)",
        evidence=(f"given by {place}",) if place else (),
        fixes=(_way_out(parameter),),
        param=parameter.key,
    )


def _shown(value: Any) -> str:
    """The value, unless it looks like a key that somebody put where a name belongs."""
    return "…" if _KEY.fullmatch(str(value)) else show(value)


def _way_out(parameter: Parameter) -> Fix:
    if parameter.not_built == "any":
        return Fix(f"leave {parameter.name} out")
    if parameter.not_built == "non-default":
        return Fix(
            f"leave {parameter.name} at {show(parameter.default)}", set={parameter.key: parameter.default}
        )
    built = parameter.built_choices
    return Fix("use " + " or ".join(show(choice) for choice in built), set={parameter.key: built[0]})


def _values(parameter: Parameter) -> str:
    if parameter.not_built == "any":
        return "any value"
    if parameter.not_built == "non-default":
        return f"anything but {show(parameter.default)}"
    return ", ".join(show(value) for value in parameter.not_built)
