"""One value of one parameter: read from text, checked, shown, and said what is wrong with it."""

import difflib
import json
import re
from typing import Any

from pydantic import ValidationError

from engine.config.registry import Parameter, section_class
from engine.findings import Finding, Fix

TRUE, FALSE, NULL = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}, {"null", "none", "~"}
LONGEST_SHOWN = 80
_NUMBER = re.compile(r"[-+]?(\d+(_\d+)*(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def parse_text(text: str, parameter: Parameter) -> Any:
    """The value that text from a command line means; the text itself where it fits no reading.

    Numbers may be written `5e-7` or `10_000`, lists `0,1` or `[0, 1]`, switches `true`/`false`, `yes`/`no`,
    `on`/`off`, `1`/`0`. `null` or `none` unset an optional parameter.
    """
    if parameter.optional and text.strip().lower() in NULL:
        return None
    return _parse(text, parameter)


def normalise(value: Any, parameter: Parameter) -> Any:
    """A value from YAML or Python in the parameter's own type, where that loses nothing; else as it came."""
    if isinstance(value, str) and parameter.kind != "str":
        return _parse(value, parameter)
    if parameter.kind == "floats":
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return (value,)
    if isinstance(value, float) and value.is_integer() and parameter.kind == "int":
        return int(value)
    return value


def check_value(value: Any, parameter: Parameter, place: str = "") -> tuple[Any, Finding | None]:
    """The value as `RunConfig` will hold it, and what is wrong with it (None: nothing)."""
    value = normalise(value, parameter)
    try:
        section = section_class(parameter.section).model_validate({parameter.name: value}, strict=True)
    except ValidationError as error:
        return value, _explain(value, parameter, error.errors(include_url=False)[0]["type"], place)
    return getattr(section, parameter.name), None


def show(value: Any) -> str:
    """A value as one would write it in YAML, cut where it is long."""
    if isinstance(value, tuple | list):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def type_words(parameter: Parameter) -> str:
    """What the parameter takes, in words: `a whole number ≥ 1`."""
    range_ = range_words(parameter)
    words = {
        "bool": "true or false",
        "int": f"a whole number {range_}",
        "float": f"a number {range_}",
        "str": "text",
        "choice": "one of " + ", ".join(str(choice) for choice in parameter.choices),
        "floats": f"numbers separated by commas {f'(each {range_})' if range_ else ''}",
    }[parameter.kind].strip()
    if parameter.kind == "floats" and isinstance(parameter.default, tuple) and len(parameter.default) == 2:
        words = "two " + words
    return words + (" or null" if parameter.optional else "")


def range_words(parameter: Parameter) -> str:
    """The range, `> 0 and ≤ 1`; empty without one."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    if parameter.kind == "int" and "gt" in parameter.bounds:
        return f"≥ {parameter.bounds['gt'] + 1:g}"
    return " and ".join(f"{signs[name]} {bound:g}" for name, bound in parameter.bounds.items())


def example(parameter: Parameter) -> Any:
    """A value that is accepted: the default where there is one."""
    if parameter.default not in (None, ""):
        return parameter.default
    if parameter.kind == "choice":
        return parameter.choices[0]
    if parameter.kind in ("int", "float"):
        return _clamped(1, parameter)
    return {"bool": True, "floats": (0.5, 0.5), "str": "text"}[parameter.kind]


def _parse(text: str, parameter: Parameter) -> Any:
    if parameter.kind == "str":
        return text
    if parameter.kind == "choice":
        return next((choice for choice in parameter.choices if str(choice) == text.strip()), text)
    if parameter.kind == "bool":
        word = text.strip().lower()
        return True if word in TRUE else False if word in FALSE else text
    if parameter.kind == "floats":
        items = [item for item in re.split(r"[,\s]+", text.strip().strip("[]()")) if item]
        numbers = [number for item in items if isinstance(number := parse_number(item), int | float)]
        return tuple(numbers) if len(numbers) == len(items) else text
    return normalise(number, parameter) if (number := parse_number(text)) is not None else text


def parse_number(text: str) -> int | float | None:
    """The number that text spells (`5e-7`, `10_000`, `.5`), or None."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _explain(value: Any, parameter: Parameter, error: str, place: str) -> Finding:
    """A finding about a value pydantic refused with the error type `error`."""
    evidence = (f"given by {place}",) if place else ()
    if error in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        fixed = _clamped(value, parameter)
        return Finding(
            id="config.out-of-range",
            severity="error",
            cause=f"{parameter.key} = {show(value)}: must be {range_words(parameter)}",
            evidence=evidence,
            fixes=(Fix(f"use {show(fixed)}", set={parameter.key: fixed}),),
            param=parameter.key,
        )
    if error == "literal_error":
        choices = {str(choice): choice for choice in parameter.built_choices or parameter.choices}
        close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0)
        choice = choices[close[0]]
        return Finding(
            id="config.not-a-choice",
            severity="error",
            cause=f"{parameter.key} = {show(value)}: must be {type_words(parameter)}",
            evidence=evidence,
            fixes=(Fix(f"use {choice}", set={parameter.key: choice}),),
            param=parameter.key,
        )
    return Finding(
        id="config.wrong-type",
        severity="error",
        cause=f"{parameter.key} = {show(value)}: must be {type_words(parameter)}",
        evidence=evidence,
        fixes=(Fix(f"for example {parameter.name}: {show(example(parameter))}"),),
        param=parameter.key,
    )


def _clamped(value: Any, parameter: Parameter) -> Any:
    """The allowed value nearest to `value`; at an open end of a range of reals, the default or the middle."""
    if isinstance(value, tuple):
        return tuple(_clamped(item, parameter) for item in value)
    bounds = parameter.bounds
    if parameter.kind == "int":
        low = bounds.get("ge", bounds.get("gt", -float("inf")) + 1)
        high = bounds.get("le", bounds.get("lt", float("inf")) - 1)
        return int(min(max(value, low), high))
    if value < bounds.get("ge", -float("inf")):
        return bounds["ge"]
    if value > bounds.get("le", float("inf")):
        return bounds["le"]
    if value <= bounds.get("gt", -float("inf")) or value >= bounds.get("lt", float("inf")):
        if isinstance(parameter.default, float):
            return parameter.default
        low = bounds.get("gt", bounds.get("ge", 0.0))
        high = bounds.get("lt", bounds.get("le", low + 2))
        return (low + high) / 2
    return value
