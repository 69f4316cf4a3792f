"""Hydra's command line: overrides `a.b=x`, `+a.b=x`, `++a.b=x`, `~a.b`, and where the configuration lies."""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from diagnostics.rules.foreign import Setting
from diagnostics.rules.nested_yaml import parse_value
from engine.findings import Finding, Fix

_OVERRIDE = re.compile(r"(\+\+|\+|~)?([A-Za-z_$][\w${}./@:-]*?)(?:=(.*))?", re.DOTALL)
_FLAG = re.compile(r"(--config-path|-cp|--config-name|-cn|--config-dir|-cd)(?:=(.*))?", re.DOTALL)
_LONG = {"-cp": "--config-path", "-cn": "--config-name", "-cd": "--config-dir"}
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_COLON = re.compile(r"(?<=[\w\"']):(?=[^\s/])")
"""In a mapping `{a:1}`, which YAML wants a space after."""


class Override(NamedTuple):
    """One override; `sign`: `+` appends, `++` appends or overrides, `~` deletes."""

    key: str
    value: Any
    line: int
    sign: Literal["", "+", "++", "~"] = ""


class Words(NamedTuple):
    """The words of a command line after the program."""

    overrides: tuple[Override, ...]
    config_path: str = ""
    config_name: str = ""
    problems: tuple[Finding, ...] = ()


def parse_words(words: Sequence[Setting]) -> Words:
    """Overrides and flags. Words that cannot be known, such as `$@`, are left out; others are told of."""
    overrides: list[Override] = []
    flags: dict[str, str] = {}
    problems: list[Finding] = []
    rest = iter(words)
    for word in rest:
        spelled = str(word.value)
        if flag := _FLAG.fullmatch(spelled):
            value = flag[2] if flag[2] is not None else str(getattr(next(rest, None), "value", ""))
            flags[_LONG.get(flag[1], flag[1])] = value
        elif spelled.startswith("-") or not spelled.strip("$@*{}\"' "):
            continue
        elif (match := _OVERRIDE.fullmatch(spelled)) and (match[3] is not None or match[1] == "~"):
            key = match[2].partition("@")[0].replace("/", ".") if "@" in match[2] else match[2]
            value = None if match[1] == "~" else parse_override_value(match[3])
            overrides.append(Override(key, value, word.line, match[1] or ""))  # type: ignore[arg-type]
        elif not spelled.startswith("$"):
            problems.append(_not_an_override(spelled, word.line))
    return Words(
        tuple(overrides), flags.get("--config-path", ""), flags.get("--config-name", ""), tuple(problems)
    )


def parse_override_value(text: str) -> Any:
    """What Hydra makes of the text after `=`."""
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    if stripped[:1] in ("[", "{"):
        return parse_value(_COLON.sub(": ", stripped) if stripped[0] == "{" else stripped)
    word = stripped.lower()
    if word in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[word]
    if _NUMBER.fullmatch(stripped):
        try:
            return int(stripped)
        except ValueError:
            return float(stripped)
    return text


def _not_an_override(word: str, line: int) -> Finding:
    where = f"line {line}: " if line else ""
    cause = f"{where}{word!r} is no override of Hydra's: it has no `=`. The launch stops there."
    return Finding("check.verl.not-an-override", "error", cause, fixes=(Fix("write it as name=value"),))
