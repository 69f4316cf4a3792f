"""Every parameter by name: what flags, YAML keys, help texts and messages are derived from."""

import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

from engine.config.param import NotBuilt, extra_of
from engine.config.sections import RunConfig, Section

Kind = Literal["bool", "int", "float", "str", "choice", "floats"]


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """One parameter as its section declares it."""

    section: str
    name: str
    kind: Kind
    optional: bool
    default: Any
    help: str
    unit: str
    not_built: NotBuilt
    aliases: tuple[str, ...]
    choices: tuple[Any, ...]
    bounds: dict[str, float]
    """Of `ge`, `gt`, `le`, `lt`, those that hold for the number, or for each number of a list."""

    @property
    def key(self) -> str:
        """`section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def negations(self) -> tuple[str, ...]:
        """Flag names that set a switch to false: `no_bf16`, `disable_engine_sleep`."""
        if self.kind != "bool":
            return ()
        names: tuple[str, ...] = (f"no_{self.name}",)
        if self.name.startswith("enable_"):
            names += ("disable_" + self.name.removeprefix("enable_"),)
        return names

    @property
    def built_choices(self) -> list[Any]:
        """Of the choices (for a switch: true and false) those that this version has."""
        return [choice for choice in self.choices or (True, False) if not self.refuses(choice)]

    def refuses(self, value: Any) -> bool:
        """Whether giving `value` asks for a feature that this version does not have."""
        if self.not_built == "any":
            return value is not None and value is not False
        if self.not_built == "non-default":
            return bool(value != self.default)
        return any(value == refused and type(value) is type(refused) for refused in self.not_built)


class Match(NamedTuple):
    """A name that was found; `negated` when it was one of the parameter's negations."""

    parameter: Parameter
    negated: bool


def section_class(name: str) -> type[Section]:
    """The class of the section `name`."""
    annotation = RunConfig.model_fields[name].annotation
    assert isinstance(annotation, type) and issubclass(annotation, Section)
    return annotation


@cache
def parameters() -> dict[str, Parameter]:
    """All parameters by `section.name`, in the order of the sections."""
    found = {}
    for section in RunConfig.model_fields:
        for name, field in section_class(section).model_fields.items():
            extra = extra_of(field)
            kind, optional, choices, bounds = _read_type(field.annotation)
            bounds |= _bounds(field.metadata)
            found[f"{section}.{name}"] = Parameter(
                section=section,
                name=name,
                kind=kind,
                optional=optional,
                default=field.default,
                help=field.description or "",
                unit=extra["unit"],
                not_built=extra["not_built"],
                aliases=extra["aliases"],
                choices=choices,
                bounds=bounds,
            )
    return found


@cache
def names() -> dict[str, Match]:
    """Every accepted name without section: names, aliases and negations."""
    found = {}
    for parameter in parameters().values():
        for name in (parameter.name, *parameter.aliases):
            found[name] = Match(parameter, negated=False)
        for name in parameter.negations:
            found[name] = Match(parameter, negated=True)
    return found


def value_of(config: RunConfig, key: str) -> Any:
    """The value of the parameter `section.name` in a configuration."""
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def find(name: str) -> Match | None:
    """The parameter called `name` or `section.name` (dashes count as underscores), if there is one."""
    section, _, bare = name.replace("-", "_").rpartition(".")
    match = names().get(bare)
    if match is None or (section and section != match.parameter.section):
        return None
    return match


def nearest(name: str, limit: int = 3) -> list[Parameter]:
    """Parameters whose names come closest to a misspelt `name`, best first; may be empty.

    Those that this version refuses whatever their value are no help and left out.
    """
    import difflib

    bare = name.replace("-", "_").rpartition(".")[2].lower()
    close = difflib.get_close_matches(bare, names(), n=limit + 5, cutoff=0.6)
    close += [known for known in names() if len(bare) >= 4 and bare in known and known not in close]
    found = dict.fromkeys(names()[known].parameter for known in close)
    return [parameter for parameter in found if not isinstance(parameter.not_built, str)][:limit]


def _read_type(annotation: Any) -> tuple[Kind, bool, tuple[Any, ...], dict[str, float]]:
    """Kind, whether null is allowed, choices, and the bounds of list elements."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        kind, _, choices, bounds = _read_type(inner)
        return kind, True, choices, bounds
    if typing.get_origin(annotation) is Literal:
        return "choice", False, arguments, {}
    if typing.get_origin(annotation) is tuple:
        return "floats", False, (), _bounds(getattr(arguments[0], "__metadata__", ()))
    kinds: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "str"}
    return kinds[annotation], False, (), {}


def _bounds(metadata: Iterable[Any]) -> dict[str, float]:
    """`ge`, `gt`, `le`, `lt` out of pydantic's metadata, whether given to a field or inside `Annotated`."""
    found: dict[str, float] = {}
    for item in metadata:
        for part in (item, *getattr(item, "metadata", ())):
            found |= {name: getattr(part, name) for name in ("ge", "gt", "le", "lt") if hasattr(part, name)}
    return found
