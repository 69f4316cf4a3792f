"""What a configuration rule is, and the facts it may look at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.sections import RunConfig
from engine.config.values import show
from engine.findings import Finding, Fix, Severity


@dataclass(frozen=True, slots=True)
class Facts:
    """A configuration and what is known of the machine, the data and the model."""

    config: RunConfig
    world_size: int
    dataset_size: int | None
    model: Mapping[str, Any] | None
    """The model's `config.json`."""

    def of_model(self, name: str) -> Any:
        """A value of the model's configuration, or of its language model's where it is nested; else None."""
        model = self.model or {}
        return model.get(name) or model.get("text_config", {}).get(name)


@dataclass(frozen=True, slots=True)
class Rule:
    """A check; `reads` are the `section.key`s it rests on, so it can be left out where one is not known."""

    reads: frozenset[str]
    find: Callable[[Facts], Iterator[Finding]]


def rule(*reads: str) -> Callable[[Callable[[Facts], Iterator[Finding]]], Rule]:
    """Make a rule of a function that yields findings."""
    return lambda find: Rule(frozenset(reads), find)


def finding(
    id: str, param: str, cause: str, *fixes: Fix, severity: Severity = "error", evidence: tuple[str, ...] = ()
) -> Finding:
    """A finding about the parameter `param`."""
    return Finding(id=id, severity=severity, cause=cause, evidence=evidence, fixes=fixes, param=param)


def use(key: str, value: Any, why: str = "") -> Fix:
    """The fix that sets one parameter."""
    return Fix(f"set {key.partition('.')[2]} to {show(value)}{f', {why}' if why else ''}", set={key: value})
