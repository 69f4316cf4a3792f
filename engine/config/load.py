"""From layers of settings to one checked `RunConfig` that knows where each value came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from engine.config.features import refusal
from engine.config.layers import Layer, layer_from_flags, layer_from_sets, layer_from_yaml, unknown_key
from engine.config.registry import find, parameters, section_class
from engine.config.sections import RunConfig
from engine.config.values import check_value
from engine.config.yamlfile import dump_scalar
from engine.findings import Finding, FindingsError

__all__ = [
    "Examined",
    "Layer",
    "Resolved",
    "dump_resolved",
    "examine",
    "layer_from_flags",
    "layer_from_sets",
    "layer_from_yaml",
    "load_resolved",
    "resolve",
]

_HEADING = """\
# Every parameter of this run. A comment names where a value came from; without one it is the default.
"""


@dataclass(frozen=True)
class Resolved:
    """A configuration and, by `section.key`, the source of every value that is not a default."""

    config: RunConfig
    sources: dict[str, str]


class Examined(NamedTuple):
    """What layers give, with everything wrong; values at fault are left at their defaults in `resolved`."""

    resolved: Resolved
    findings: tuple[Finding, ...]
    broken: frozenset[str]
    """`section.key` of what is not known because of the findings; `rules.check` leaves these out."""


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Merge layers, later ones winning.

    Raises `FindingsError` with all problems: what could not be read, unknown keys, wrong types, values out
    of range, features this version does not have.
    """
    examined = examine(layers)
    if examined.findings:
        raise FindingsError(examined.findings)
    return examined.resolved


def examine(layers: Sequence[Layer]) -> Examined:
    """Like `resolve`, but returns the problems, so that a caller can report them together with others."""
    findings = [finding for layer in layers for finding in layer.findings]
    given: dict[str, tuple[Any, str, str]] = {}
    for layer in layers:
        for name, value in layer.values.items():
            place = layer.places.get(name, layer.source)
            match = find(name)
            if match is None:
                findings.append(unknown_key(name, value, place))
                continue
            key = match.parameter.key
            given[key] = (value, layer.origins.get(key, layer.source), place)

    values: dict[str, dict[str, Any]] = {section: {} for section in RunConfig.model_fields}
    sources = {}
    for key, parameter in parameters().items():
        if key not in given:
            continue
        value, source, place = given[key]
        value, finding = check_value(value, parameter, place)
        finding = finding or refusal(value, parameter, place)
        if finding is not None:
            findings.append(finding)
            continue
        values[parameter.section][parameter.name] = value
        sources[key] = source
    return Examined(Resolved(_build(values), sources), tuple(findings), _broken(findings))


def load_resolved(path: Path | str) -> Resolved:
    """Read back what `dump_resolved` wrote, sources included; or any other YAML file of settings."""
    return resolve([layer_from_yaml(path)])


def dump_resolved(resolved: Resolved) -> str:
    """The text of a run's `config.yaml`: every parameter in its section, and where it came from."""
    lines = [_HEADING]
    for name in RunConfig.model_fields:
        section = getattr(resolved.config, name)
        lines.append(f"{name}:")
        for key, value in section:
            source = resolved.sources.get(f"{name}.{key}")
            comment = f"  # {' '.join(source.split())}" if source else ""
            lines.append(f"  {key}: {dump_scalar(value)}{comment}")
        lines.append("")
    lines.append(
        "# Read back by machines: which of the above were given, and by what." if resolved.sources else ""
    )
    lines.append("sources:" if resolved.sources else "sources: {}")
    lines += [f"  {key}: {dump_scalar(source)}" for key, source in resolved.sources.items()]
    return "\n".join(lines) + "\n"


def _build(values: Mapping[str, Mapping[str, Any]]) -> RunConfig:
    return RunConfig(**{name: section_class(name)(**fields) for name, fields in values.items()})  # type: ignore[arg-type]


def _broken(findings: Sequence[Finding]) -> frozenset[str]:
    """The parameters at fault, and for each misspelt name the one it most likely meant."""
    named = {finding.param for finding in findings if finding.param}
    return frozenset(named | {key for finding in findings for fix in finding.fixes[:1] for key in fix.set})
