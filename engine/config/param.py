"""How one parameter is declared: default, unit, range, help, and whether its feature is built yet."""

from collections.abc import Collection
from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

NotBuilt = Literal["any", "non-default"] | Collection[Any]


def param(
    default: Any,
    help: str,
    *,
    unit: str = "",
    not_built: NotBuilt = (),
    aliases: Collection[str] = (),
    **bounds: Any,
) -> Any:
    """A field of a section of `RunConfig`.

    `help`: one line. `unit`: what the number counts. `bounds`: pydantic's `ge`, `gt`, `le`, `lt`.
    `not_built`: which explicitly given values belong to a feature this version lacks: `"any"`,
    `"non-default"`, or the values themselves. Such a value is rejected by name, never ignored.
    `aliases`: other flag names for the same parameter.
    """
    extra: dict[str, Any] = {"unit": unit, "not_built": not_built, "aliases": tuple(aliases)}
    return Field(default, description=help, json_schema_extra=extra, **bounds)


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """The `unit`, `not_built` and `aliases` that `param` stored with a field."""
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}
