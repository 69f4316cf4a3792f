"""What rows of the form are. Imports nothing heavy: the first frame does not wait for the planner."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.config.registry import Parameter

GLYPHS = {"error": ("✖", "$error"), "warning": ("▲", "$warning"), "info": ("·", "$quiet")}
ORIGINS = {
    "default": ("·", "$quiet", "default"),
    "preset": ("○", "$foreground", "preset"),
    "planner": ("◆", "$quiet", "planner"),
    "user": ("●", "bold $accent", "you"),
}
"""Glyph, colour and word of an origin."""

Origin = Literal["default", "preset", "planner", "user"]


@dataclass(frozen=True)
class Field:
    """One parameter of the form. Texts are as one writes them in YAML, on one line."""

    parameter: "Parameter"
    value: str
    origin: Origin
    without: str
    """The value without the user's edit, and where it would come from."""
    reason: str
    """Of the planner."""
    problem: str
    severity: Literal["error", "warning", ""]
    fix: str
    """What `f` does about the problem; empty where it does nothing."""
    default: str
    changed: bool
    """Whether the value is not the default."""

    @property
    def key(self) -> str:
        return self.parameter.key

    @property
    def refused(self) -> bool:
        """This version takes no value for it."""
        return self.parameter.not_built == "any"


@dataclass(frozen=True)
class Heading:
    """The name of a section, and what it is about."""

    section: str
    about: str


@dataclass(frozen=True)
class Problem:
    """What is wrong, on a line under the field."""

    of: Field


Row = Heading | Field | Problem
