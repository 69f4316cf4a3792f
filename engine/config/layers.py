"""Layers of settings: a preset, a file, flags, `--set`. Reading one never fails: it carries its findings."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.config.registry import Match, find, nearest, parameters, section_class
from engine.config.sections import RunConfig
from engine.config.values import FALSE, TRUE, example, normalise, parse_number, parse_text, show, type_words
from engine.config.yamlfile import Entry, read_yaml
from engine.findings import Finding, Fix

_SECRET = re.compile(r"api_?key|secret|passw|token$", re.IGNORECASE)


class Layer(NamedTuple):
    """Settings from one source. `values` is keyed `section.key`; later layers win over earlier ones."""

    source: str
    values: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    """What could not be read; `resolve` raises it together with everything else."""
    places: Mapping[str, str] = {}
    """Where each value stands, for messages: `my.yaml line 12`."""
    origins: Mapping[str, str] = {}
    """Sources of single values, where a run's `config.yaml` recorded them."""


class _Builder:
    """Collects one layer. On a command line the last word wins; in a file a repeated key is a finding."""

    def __init__(self, source: str, *, last_wins: bool = True) -> None:
        self.source = source
        self.last_wins = last_wins
        self.values: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.findings: list[Finding] = []

    def put(self, match: Match, value: Any, place: str) -> None:
        """Take a value for a parameter."""
        key = match.parameter.key
        value = normalise(value, match.parameter)
        if match.negated and isinstance(value, bool):
            value = not value
        if not self.last_wins and key in self.values:
            cause = f"{place}: {key} was given before, by {self.places[key]}"
            self.findings.append(_error("config.duplicate-key", cause, Fix(f"keep one {key}"), param=key))
        self.values[key], self.places[key] = value, place

    def layer(self, origins: Mapping[str, str] | None = None) -> Layer:
        return Layer(self.source, self.values, tuple(self.findings), self.places, origins or {})


def layer_from_yaml(path: Path | str, source: str = "", ignore: Sequence[str] = ()) -> Layer:
    """The settings of a YAML file, `section: {key: value}` or `key: value`; `ignore`: top-level keys to skip.

    A run's `config.yaml` has `sources:`; of such a file only what was given once counts as given again.
    """
    path = Path(path)
    entries, findings = read_yaml(path)
    builder = _Builder(source or str(path), last_wins=False)
    builder.findings += findings
    origins: dict[str, str] | None = None
    for entry in entries:
        place = f"{path} line {entry.line}"
        if entry.key in ignore:
            continue
        if entry.key == "sources" and entry.entries is not None:
            origins = {below.key: str(below.value) for below in entry.entries}
        elif entry.key in RunConfig.model_fields:
            _take_section(builder, entry, path)
        elif match := find(entry.key):
            builder.put(match, entry.value, place)
        else:
            builder.findings.append(unknown_key(entry.key, entry.value, place))
    if origins is not None:
        for key in [
            k for k, v in builder.values.items() if k not in origins and v == parameters()[k].default
        ]:
            del builder.values[key]
    return builder.layer(origins)


def layer_from_sets(assignments: Sequence[str], source: str = "--set") -> Layer:
    """The settings of `section.key=value` and `key=value` texts; values as on a command line."""
    builder = _Builder(source)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        place = f"{source} {name.strip()}"
        if not equals or not name.strip():
            fix = Fix("write it as section.key=value", command="--set batch.train_batch_size=128")
            builder.findings.append(
                _error("config.not-an-assignment", f"{source} {assignment!r} has no `=`", fix)
            )
        elif match := find(name.strip()):
            builder.put(match, parse_text(text, match.parameter), place)
        else:
            builder.findings.append(unknown_key(name.strip(), text, place))
    return builder.layer()


def layer_from_flags(args: Sequence[str], source: str = "flag") -> Layer:
    """The settings of `--max-len 9`, `--max_len=9`, `--bf16`, `--no-bf16`, `--bf16 false`.

    A list may be one word (`0.9,0.95`) or several (`0.9 0.95`).
    """
    builder = _Builder(source)
    position = 0
    while position < len(args):
        word = args[position]
        position += 1
        if not _is_flag(word):
            fix = Fix(
                "every setting is --name value, or section.key=value after --set; quote a value with spaces"
            )
            builder.findings.append(_error("config.stray-argument", f"{word!r} belongs to no flag", fix))
            continue
        flag, equals, text = word.partition("=")
        match = find(flag[2:]) if flag.startswith("--") else None
        if match is None:
            given = [] if equals else _values_after(args, position, limit=1)
            builder.findings.append(unknown_key(flag, text if equals else " ".join(given), f"flag {flag}"))
            position += len(given)
            continue
        if not equals:
            taken = _taken(match, args, position)
            position += len(taken)
            text = ",".join(taken) if taken else "true" if match.parameter.kind == "bool" else ""
            if not taken and match.parameter.kind != "bool":
                builder.findings.append(_no_value(match, flag))
                continue
        builder.put(match, parse_text(text, match.parameter), f"flag {flag}")
    return builder.layer()


def unknown_key(name: str, value: Any, place: str) -> Finding:
    """The finding for a name that no parameter has, with those that come nearest."""
    bare = name.lstrip("-")
    evidence = (f"given by {place}",) if place != f"flag {name}" else ()
    if _SECRET.search(bare):
        fix = Fix("keys are never settings: set the environment variable (WANDB_API_KEY), or use netrc")
        return _error("config.unknown-key", f"there is no parameter {name}", fix, evidence=evidence)
    section, _, key = bare.replace("-", "_").rpartition(".")
    if section and (match := find(key)):
        home = match.parameter
        where = f"{key} stands in section {home.section}, not {section}"
        return _error(
            "config.unknown-key",
            f"there is no parameter {name}: {where}",
            _use(home.key, value),
            evidence=evidence,
        )
    fixes = [_use(parameter.key, value) for parameter in nearest(bare)]
    if not fixes:
        fixes = [
            Fix(
                "every parameter is listed in docs/parameters.md", command="python -m engine.config.reference"
            )
        ]
    return _error("config.unknown-key", f"there is no parameter {name}", *fixes, evidence=evidence)


def _take_section(builder: _Builder, entry: Entry, path: Path) -> None:
    if entry.entries is None:
        if entry.value is not None:
            known = ", ".join(section_class(entry.key).model_fields)
            cause = f"{path} line {entry.line}: section {entry.key} is {show(entry.value)}, not a mapping"
            builder.findings.append(_error("config.not-a-mapping", cause, Fix(f"its keys are {known}")))
        return
    for below in entry.entries:
        name, place = f"{entry.key}.{below.key}", f"{path} line {below.line}"
        if match := find(name):
            builder.put(match, below.value, place)
        else:
            builder.findings.append(unknown_key(name, below.value, place))


def _taken(match: Match, args: Sequence[str], position: int) -> list[str]:
    """The words after a flag that are its value."""
    after = _values_after(args, position, limit=len(args))
    if match.parameter.kind == "bool":
        return after[:1] if after and after[0].lower() in TRUE | FALSE else []
    if match.parameter.kind == "floats" and after and parse_number(after[0]) is not None:
        numbers = [parse_number(word) is not None for word in after]
        return after[: numbers.index(False)] if False in numbers else after
    return after[:1]


def _values_after(args: Sequence[str], position: int, limit: int) -> list[str]:
    found = []
    for word in args[position : position + limit]:
        if _is_flag(word):
            break
        found.append(word)
    return found


def _is_flag(word: str) -> bool:
    """Whether a word is a flag rather than a value such as `-1` or `-0.5,1`."""
    return len(word) > 1 and word[0] == "-" and not (word[1].isdigit() or word[1] == ".")


def _no_value(match: Match, flag: str) -> Finding:
    parameter = match.parameter
    cause = f"{flag} has no value: it takes {type_words(parameter)}"
    return _error(
        "config.flag-value-missing",
        cause,
        Fix(f"for example {flag} {show(example(parameter)).strip('[]')}"),
        param=parameter.key,
    )


def _use(key: str, value: Any) -> Fix:
    parameter = parameters()[key]
    given = parse_text(value, parameter) if isinstance(value, str) else value
    known = isinstance(given, bool | int | float | str | tuple | list) and given != ""
    return Fix(f"did you mean {key} (flag --{parameter.name})?", set={key: given} if known else {})


def _error(id: str, cause: str, *fixes: Fix, evidence: tuple[str, ...] = (), param: str = "") -> Finding:
    return Finding(id=id, severity="error", cause=cause, evidence=evidence, fixes=fixes, param=param)
