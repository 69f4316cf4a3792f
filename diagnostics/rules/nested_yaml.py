"""Nested YAML as flat settings `a.b.c`, each with its line; OmegaConf's interpolations are resolved."""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from diagnostics.rules.foreign import Setting
from engine.findings import Finding, Fix

UNKNOWN = "${"
"""What stands in a value that could not be resolved."""
_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
MAX_ROUNDS = 20
MOST_SETTINGS = 20_000


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as OmegaConf reads it: `1e-6` is a number too."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (a class attribute of PyYAML's)
        key: [
            pair
            for pair in pairs
            if pair[0] not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
        ]
        for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?|\d*\.\d+)\d*[eE][-+]?\d+\Z"),
    list("-+.0123456789"),
)


def read_nested(path: Path) -> tuple[dict[str, Setting], list[Finding]]:
    """The settings of a YAML file, lists as values, and what is wrong with it as YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        return {}, [_wrong("check.file-unreadable", f"cannot read {path}: {reason}.", "give a readable file")]
    return parse_nested(text, str(path))


def parse_nested(text: str, name: str) -> tuple[dict[str, Setting], list[Finding]]:
    """As `read_nested`, of YAML at hand."""
    problems: list[Finding] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return {}, []
        if not isinstance(node, yaml.MappingNode):
            cause = f"{name} holds no settings: its top level is not a mapping."
            return {}, [_wrong("check.not-a-mapping", cause, "give a YAML file of `name: value` lines")]
        settings = dict(islice(_flat(loader, node, "", name, problems), MOST_SETTINGS))
        if len(settings) == MOST_SETTINGS:
            cause = f"{name} unfolds into more than {MOST_SETTINGS} settings: its anchors name one another."
            return {}, [_wrong("check.yaml-too-large", cause, "write it without nested anchors")]
        return settings, problems
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        return {}, [
            _wrong("check.yaml-syntax", f"{name}{where}: not valid YAML: {reason}.", "mend that line")
        ]


def parse_value(text: str) -> Any:
    """One scalar, list or mapping in YAML's flow style; the text itself where it is none."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def resolve(settings: Mapping[str, Setting], defaults: Mapping[str, Any] | None = None) -> dict[str, Setting]:
    """`settings` with `${a.b}`, `${.a}`, `${oc.env:NAME,default}` and `${oc.select:a.b,default}` replaced.

    `defaults`: the framework's own values, for names that the file does not give. What cannot be resolved
    stays as it is.
    """
    found = dict(settings)
    for _ in range(MAX_ROUNDS):
        changed = False
        for name, setting in found.items():
            value = _resolved(setting.value, name, found, defaults or {})
            if value is not setting.value and value != setting.value:
                found[name], changed = Setting(value, setting.line), True
        if not changed:
            break
    return found


def _flat(
    loader: _Loader, node: yaml.MappingNode, prefix: str, name: str, problems: list[Finding]
) -> Iterator[tuple[str, Setting]]:
    loader.flatten_mapping(node)
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = f"{prefix}{key_node.value}", key_node.start_mark.line + 1
        if key in seen:
            cause = f"{name} line {line}: {key} was given before, in line {seen[key]}; the last one counts."
            problems.append(
                Finding("check.given-twice", "warning", cause, fixes=(Fix(f"keep one {key}"),), param=key)
            )
        seen[key] = line
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _flat(loader, value_node, f"{key}.", name, problems)
        else:
            yield key, Setting(loader.construct_object(value_node, deep=True), line)


def _resolved(value: Any, name: str, settings: Mapping[str, Setting], defaults: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or UNKNOWN not in value:
        return value
    match = _INNERMOST.search(value)
    if match is None:
        return value
    known, meant = _meant(match[1].strip(), name, settings, defaults)
    if not known:
        return value
    if match[0] == value:
        return meant
    return value[: match.start()] + ("null" if meant is None else str(meant)) + value[match.end() :]


def _meant(
    inner: str, name: str, settings: Mapping[str, Setting], defaults: Mapping[str, Any]
) -> tuple[bool, Any]:
    """Whether an interpolation is known, and what it stands for."""
    resolver, colon, arguments = inner.partition(":")
    if not colon:
        key = _absolute(inner, name)
        if key in settings:
            return True, settings[key].value
        return key in defaults, defaults.get(key)
    first, comma, fallback = arguments.partition(",")
    if resolver == "oc.env" and first.strip() in os.environ:
        return True, parse_value(os.environ[first.strip()])
    if resolver == "oc.select":
        known, meant = _meant(first.strip(), name, settings, defaults)
        if known:
            return known, meant
    if resolver in ("oc.env", "oc.select") and comma:
        return True, parse_value(fallback.strip())
    return False, None


def _absolute(key: str, name: str) -> str:
    """`.x` beside the setting `name`, `..x` one level up."""
    dots = len(key) - len(key.lstrip("."))
    if not dots:
        return key
    above = name.split(".")[:-dots]
    return ".".join([*above, key[dots:]])


def _wrong(id: str, cause: str, fix: str) -> Finding:
    return Finding(id, "error", cause, fixes=(Fix(fix),))
