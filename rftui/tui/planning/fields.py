"""The parameters as the form shows them: value, where it comes from, why, and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.config.registry import Parameter, parameters, section_class, value_of
from engine.config.sections import RunConfig
from engine.config.values import parse_text, show, type_words
from engine.findings import Finding, Fix
from rftui.plan.planner import SOURCE as PLANNER
from rftui.tui.planning.consider import Considered, Ground
from rftui.tui.planning.edits import SOURCE as USER
from rftui.tui.planning.rows import Field, Heading, Problem, Row
from rftui.tui.text import clean_line


def fields(now: Considered, ground: Ground) -> list[Field]:
    """All parameters, in the order of their sections."""
    problems = _problems(now.findings)
    return [_field(parameter, now, ground, problems) for parameter in parameters().values()]


def rows(all_fields: Sequence[Field], query: str = "", *, changed_only: bool = False) -> list[Row]:
    """The rows of the form: headings, fields that match, problems under them."""
    found: list[Row] = []
    words = query.lower().split()
    for section in RunConfig.model_fields:
        matching = [
            field
            for field in all_fields
            if field.parameter.section == section
            and all(word in _searched(field) for word in words)
            and (not changed_only or field.origin != "default" or field.problem)
        ]
        if matching:
            found.append(Heading(section, (section_class(section).__doc__ or "").strip()))
        found += _with_problems(matching)
    return found


def parsed(text: str, field: Field) -> Any:
    """The value that a text in the editor means; line ends of a long text stand there as `\\n`."""
    value = parse_text(text, field.parameter)
    return value.replace("\\n", "\n") if isinstance(value, str) and field.parameter.kind == "str" else value


def edit_text(value: Any) -> str:
    """What the editor starts with."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ", ".join(edit_text(item) for item in value)
    return str(value).replace("\n", "\\n")


def options(parameter: Parameter) -> list[str]:
    """The values to choose among, as texts; none where anything of a kind may be written."""
    if parameter.kind not in ("choice", "bool"):
        return []
    texts = [edit_text(choice) for choice in parameter.built_choices]
    return [*texts, "null"] if parameter.optional else texts


def applicable(one: Finding) -> Fix | None:
    """The first fix that is an edit of the configuration."""
    return next((fix for fix in one.fixes if fix.set), None)


def described(field: Field) -> str:
    """Help, type and unit in one sentence."""
    unit = f", in {field.parameter.unit}" if field.parameter.unit else ""
    return f"{field.parameter.help} Takes {type_words(field.parameter)}{unit}."


def _field(parameter: Parameter, now: Considered, ground: Ground, problems: Mapping[str, Finding]) -> Field:
    key = parameter.key
    given = ground.preset.layer.values if ground.preset else {}
    if key in now.edits.values:
        value, origin = now.edits.values[key], "user"
    else:
        value = value_of(now.resolved.config, key)
        source = now.resolved.sources.get(key)
        origin = {None: "default", PLANNER: "planner", USER: "user"}.get(source, "preset")
    problem = problems.get(key)
    fix = applicable(problem) if problem else None
    plan_reasons = now.plan.reasons if now.plan else {}
    return Field(
        parameter=parameter,
        value=_shown(value),
        origin=origin,  # type: ignore[arg-type]
        without=f"preset's {_shown(given[key])}" if key in given else f"default {_shown(parameter.default)}",
        reason=plan_reasons.get(key, ""),
        problem=problem.cause if problem else "",
        severity=problem.severity if problem and problem.severity != "info" else "",
        fix=fix.text if fix else "",
        default=_shown(parameter.default),
        changed=value != parameter.default,
    )


def _shown(value: Any) -> str:
    return clean_line(value.replace("\n", "\\n") if isinstance(value, str) and value else show(value))


def _problems(findings: Sequence[Finding]) -> dict[str, Finding]:
    """The first finding on each parameter, errors before warnings."""
    found: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda f: ("error", "warning", "info").index(f.severity)):
        if finding.param and finding.severity != "info":
            found.setdefault(finding.param, finding)
    return found


def _with_problems(of: Sequence[Field]) -> Iterator[Row]:
    for field in of:
        yield field
        if field.problem:
            yield Problem(field)


def _searched(field: Field) -> str:
    return f"{field.key} {field.parameter.help} {field.value} {field.origin}".lower()
