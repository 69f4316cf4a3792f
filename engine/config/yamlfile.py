"""YAML as the configuration uses it: two levels, line numbers, no duplicate keys, `5e-7` a number."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from engine.findings import Finding, Fix


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core types: `5e-7` is a number, and `no`, `010`, `1:30` and dates stay text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (a class attribute of PyYAML's)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(
    r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)\Z|\.(nan|NaN|NAN)\Z"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _Dumper(yaml.SafeDumper):
    """Quotes whatever either this module's reader or a YAML 1.1 reader would not take for text."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class Entry(NamedTuple):
    """One key of a mapping; `line` counts from 1."""

    key: str
    value: Any
    line: int
    entries: "tuple[Entry, ...] | None"
    """The keys below, if the value is a mapping."""


def read_yaml(path: Path) -> tuple[list[Entry], list[Finding]]:
    """The top-level keys of a file, and all that is wrong with it as YAML (then there may be no keys)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        return [], [
            _finding("config.file-unreadable", f"cannot read {path}: {reason}", "give a readable YAML file")
        ]
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        findings: list[Finding] = []
        if node is None:
            return [], []
        if not isinstance(node, yaml.MappingNode):
            cause = f"{path} holds {_kind(node)}, not a mapping of sections"
            return [], [
                _finding("config.not-a-mapping", cause, "write `section:` lines with `key: value` below")
            ]
        return list(_entries(loader, node, path, findings, depth=2)), findings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [_syntax_finding(path, error)]


def dump_scalar(value: Any) -> str:
    """A value on one line, as `read_yaml` reads it back exactly."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.dump(
        plain,
        Dumper=_Dumper,
        default_style=style,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _entries(
    loader: _Loader, node: yaml.MappingNode, path: Path, findings: list[Finding], depth: int
) -> Iterator[Entry]:
    loader.flatten_mapping(node)
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in seen:
            cause = f"{path} line {line}: {key} was given before, in line {seen[key]}"
            findings.append(_finding("config.duplicate-key", cause, f"keep one {key}"))
            continue
        seen[key] = line
        below = None
        if depth > 1 and isinstance(value_node, yaml.MappingNode):
            below = tuple(_entries(loader, value_node, path, findings, depth - 1))
        yield Entry(key, loader.construct_object(value_node, deep=True), line, below)


def _kind(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"


def _syntax_finding(path: Path, error: Exception) -> Finding:
    mark = getattr(error, "problem_mark", None)
    where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = (mark.get_snippet(indent=0) or "").splitlines() if mark else []
    return _finding(
        "config.yaml-syntax", f"{path}{where}: not valid YAML: {problem}", "correct that line", line
    )


def _finding(id: str, cause: str, fix: str, evidence: list[str] | None = None) -> Finding:
    return Finding(id=id, severity="error", cause=cause, evidence=tuple(evidence or ()), fixes=(Fix(fix),))
