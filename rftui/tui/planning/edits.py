"""What the user has changed on the plan screen. Immutable: every edit makes another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.config.load import Layer

SOURCE = "user"


@dataclass(frozen=True)
class Edits:
    """Values by `section.key`, which may be wrong, and what is planned for."""

    values: Mapping[str, Any] = field(default_factory=dict)
    as_is: bool = False
    """The planner chooses nothing."""
    gpus: str | None = None
    """A described machine, "8xA100-80"; None: this one."""
    nodes: int = 1

    @property
    def layer(self) -> Layer:
        """The values as the last layer of a configuration."""
        return Layer(SOURCE, dict(self.values))

    def with_value(self, key: str, value: Any) -> "Edits":
        """One value given."""
        return self.with_values({key: value})

    def with_values(self, values: Mapping[str, Any]) -> "Edits":
        """Several values given, such as those of a fix."""
        return replace(self, values={**self.values, **values})

    def without(self, key: str) -> "Edits":
        """One value left to the preset, the planner or the default again."""
        return replace(self, values={k: v for k, v in self.values.items() if k != key})

    def planned_for(self, gpus: str | None, nodes: int = 1) -> "Edits":
        """Another machine."""
        return replace(self, gpus=gpus, nodes=nodes)

    def switched_as_is(self) -> "Edits":
        """With the planner, or without."""
        return replace(self, as_is=not self.as_is)
