"""What samples are looked for: words in their texts, and conditions on their numbers, written in one line."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Any

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
FIELDS = {
    "reward": "reward",
    "advantage": "advantage",
    "adv": "advantage",
    "tokens": "response_tokens",
    "len": "response_tokens",
    "diff": "logprob_diff",
    "step": "step",
    "prompt": "prompt_index",
    "sample": "sample",
}
"""Name in a query → column of the database."""
HELP = "words  reward>0.5  adv<0  len>=512  step=40  prompt=17  diff>0.1  cut  flat  label:TEXT"

_TERM = re.compile(r'([a-z]+):"([^"]*)"?|"([^"]*)"?|(\S+)')
_CONDITION = re.compile(rf"({'|'.join(FIELDS)})(>=|<=|>|<|=)(.*)")
_FLAGS = {"cut": "cut", "truncated": "cut", "flat": "flat"}


@dataclass(frozen=True)
class Condition:
    """A column of the database held against a number."""

    column: str
    operator: str
    value: float


@dataclass(frozen=True)
class Query:
    """All of it must hold. `cut`: truncated responses; `flat`: groups whose rewards are all equal."""

    words: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    labels: tuple[str, ...] = ()
    cut: bool = False
    flat: bool = False


def parse(line: str) -> Query:
    """The query of a line; `"…"` holds words together. ValueError says what is wrong with a condition."""
    words: list[str] = []
    labels: list[str] = []
    conditions: list[Condition] = []
    flags: set[str] = set()
    for found in _TERM.finditer(line):
        key, value, quoted, plain = found.groups()
        if key == "label":
            labels.append(value)
        elif quoted is not None or key is not None:
            words.append(f"{key}:{value}" if key else quoted)
        elif plain in _FLAGS:
            flags.add(_FLAGS[plain])
        elif plain.startswith("label:"):
            labels.append(plain.removeprefix("label:"))
        elif condition := _CONDITION.fullmatch(plain):
            conditions.append(Condition(FIELDS[condition[1]], condition[2], _number(plain, condition[3])))
        else:
            words.append(plain)
    return Query(
        tuple(filter(None, words)),
        tuple(conditions),
        tuple(filter(None, labels)),
        cut="cut" in flags,
        flat="flat" in flags,
    )


def described(query: Query) -> str:
    """The query as it was understood."""
    parts = [f"“{word}” in prompt or response" for word in query.words]
    parts += [f"{each.column} {each.operator} {each.value:g}" for each in query.conditions]
    parts += [f"“{label}” in label" for label in query.labels]
    parts += ["truncated"] * query.cut + ["groups without variance"] * query.flat
    return ", ".join(parts)


def _number(term: str, value: str) -> float:
    if not value:
        raise ValueError(f"{term}: a number is missing")
    try:
        number = float(value)
    except ValueError:
        number = nan
    if number != number:
        raise ValueError(f"{term}: {value!r} is not a number")
    return number
