"""The fields of a published case: what was absent is remembered, what is wrong becomes a finding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.findings import Finding, Fix


@dataclass
class Row:
    """`missing`: fields that had to be assumed; `wrong`: findings about the others."""

    values: Mapping[str, Any]
    missing: list[str] = field(default_factory=list)
    wrong: list[Finding] = field(default_factory=list)

    def text(self, key: str) -> str:
        """A string in lower case; empty where there is none."""
        value = self.values.get(key)
        return value.lower() if isinstance(value, str) else ""

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str, assumed: float | None = None, most: float = 1e15) -> float | None:
        """A number that a job can have, up to `most`; `assumed` where there is none."""
        value = self.values.get(key)
        if value is None:
            return None if assumed is None else self.assume(key, assumed)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            self.wrong.append(_bad_number(key, value))
            return assumed
        return float(value)

    def count(self, key: str, assumed: int) -> int:
        """A whole number of at least 1; `assumed` where there is none, or 0."""
        return int(self.number(key, assumed) or 0) or int(self.assume(key, assumed))

    def assume(self, key: str, value: float) -> float:
        """`value`, noted as assumed."""
        if key not in self.missing:
            self.missing.append(key)
        return value


def _bad_number(key: str, value: object) -> Finding:
    return Finding(
        id="case.bad-number",
        severity="error",
        cause=f"{key} is {value!r}, not a number that a job can have.",
        fixes=(Fix("give a positive number, or null where it is not known"),),
        param=key,
    )
