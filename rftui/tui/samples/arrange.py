"""In which order samples stand, and where the groups are that did worst."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

from rftui.runs.samples import Sample


@dataclass(frozen=True)
class Order:
    """`words` say it in the heading; without a key samples stand as they were found: group by group."""

    words: str
    key: Callable[[Sample], Any] | None = None


def _number(value: float | None) -> float:
    """What is no number stands first."""
    return -inf if value is None or isnan(value) else value


ORDERS = (
    Order("by group"),
    Order("lowest reward first", lambda each: _number(each.reward)),
    Order("highest reward first", lambda each: -_number(each.reward)),
    Order("lowest advantage first", lambda each: _number(each.advantage)),
    Order("longest first", lambda each: -each.tokens),
    Order("largest log-prob difference first", lambda each: -_number(each.logprob_diff)),
)


def arranged(samples: Sequence[Sample], order: Order) -> list[Sample]:
    """The samples in that order; equal ones as they were."""
    return list(samples) if order.key is None else sorted(samples, key=order.key)


def worst_groups(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Step and prompt of the groups of these samples, the one with the lowest mean reward first."""
    means = {(each.step, each.prompt_index): _number(each.group.mean) for each in samples}
    return sorted(means, key=lambda group: means[group])
