"""The filter of the table: `reward>0.5 cfg.lr<=1e-6 tag:x status:failed name`, all of which must hold."""

import difflib
import operator
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rftui.tui.runs_table.row import Row

RULE = "FIELD OP VALUE without spaces between (OP: > >= < <= = != or : for “contains”), or a word of the name"
EXAMPLE = "reward>0.5 cfg.lr<=1e-6 tag:x status:failed"
SHORT = {"lr": "optim.actor_learning_rate", "model": "model.pretrain"}
"""What `cfg.` also understands besides the parameters' names."""

Test = Callable[[Row, float], bool]
"""Whether a row stays; the second argument is the time now."""

_TERM = re.compile(r"([\w./-]+?)(>=|<=|!=|==|>|<|=|:)(.*)")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ":": operator.eq,
}
NUMBERS: dict[str, Callable[[Row, float], float | None]] = {
    "reward": lambda row, now: row.reward,
    "best": lambda row, now: row.digest.best,
    "step": lambda row, now: row.summary.step,
    "rate": lambda row, now: row.digest.tokens_per_s,
    "lr": lambda row, now: row.digest.lr,
    "took": lambda row, now: row.seconds(now),
    "age": lambda row, now: row.age(now),
}
TEXTS: dict[str, Callable[[Row], Sequence[str]]] = {
    "status": lambda row: [row.status],
    "tag": lambda row: row.notes.tags,
    "preset": lambda row: [row.summary.preset],
    "model": lambda row: [row.model],
    "name": lambda row: [row.name],
    "note": lambda row: [row.notes.text],
}
_EXACT = ("tag",)
_DURATIONS = ("took", "age")
FIELDS = (*NUMBERS, *TEXTS, "cfg.PARAMETER")


@dataclass(frozen=True)
class QueryError(Exception):
    """What is wrong with a filter: the term, the rule, what was understood of it, what comes nearest."""

    term: str
    problem: str
    understood: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        understood = f" Understood: {self.understood}." if self.understood else ""
        nearest = f" Nearest: {self.nearest}." if self.nearest else ""
        return f"{self.term}: {self.problem}.{understood}{nearest} A filter is {RULE}."


def parse(text: str) -> Test:
    """What a row must be like; raises QueryError."""
    try:
        terms = shlex.split(text)
    except ValueError as error:
        raise QueryError(text, f"the quotation is not closed ({error})") from None
    tests: list[Test] = []
    for term in terms:
        try:
            tests.append(_test(term))
        except QueryError as error:
            done = " and ".join(terms[: len(tests)])
            raise QueryError(error.term, error.problem, error.understood or done, error.nearest) from None
    return lambda row, now: all(test(row, now) for test in tests)


def _test(term: str) -> Test:
    match = _TERM.fullmatch(term)
    if match is None:
        return _word(term)
    field, op, value = match.groups()
    if not value:
        raise QueryError(term, "there is no value behind the comparison", f"{field} {op}", f"{field}{op}1")
    if field.startswith("cfg."):
        return _setting(term, field.removeprefix("cfg."), op, value)
    if field in NUMBERS:
        return _number(term, field, op, value)
    if field in TEXTS:
        return _text(term, field, op, value)
    raise QueryError(
        term,
        f"there is no field {field!r}; fields are {', '.join(FIELDS)}",
        "",
        _near_field(field, op + value),
    )


def _word(word: str) -> Test:
    wanted = word.lower()
    return lambda row, now: wanted in row.name.lower()


def _number(term: str, field: str, op: str, value: str) -> Test:
    wanted = _seconds(value) if field in _DURATIONS else _float(value)
    if wanted is None:
        kind = "a time such as 90s, 30m, 2h or 1d" if field in _DURATIONS else "a number"
        example = f"{field}{op}2h" if field in _DURATIONS else f"{field}{op}0.5"
        raise QueryError(
            term, f"{field} is compared with {kind}, and {value!r} is none", f"{field} {op}", example
        )
    read, holds = NUMBERS[field], _COMPARE[op]

    def test(row: Row, now: float) -> bool:
        found = read(row, now)
        return found is not None and holds(found, wanted)

    return test


def _text(term: str, field: str, op: str, value: str) -> Test:
    read, wanted = TEXTS[field], value.lower()
    if op in (">", ">=", "<", "<="):
        raise QueryError(
            term, f"{field} is text, which has no order", f"{field} {op} {value}", f"{field}:{value}"
        )
    if op == "!=":
        return lambda row, now: all(wanted != found.lower() for found in read(row))
    if op == ":" and field not in _EXACT:
        return lambda row, now: any(wanted in found.lower() for found in read(row))
    return lambda row, now: any(wanted == found.lower() for found in read(row))


def _setting(term: str, name: str, op: str, value: str) -> Test:
    """A parameter: as numbers where both sides are numbers, else as text."""
    from engine.config import registry

    match = registry.find(SHORT.get(name, name))
    if match is None:
        near = [f"cfg.{parameter.name}{op}{value}" for parameter in registry.nearest(name, 2)]
        raise QueryError(term, f"there is no parameter {name!r}", f"cfg. {op} {value}", " or ".join(near))
    key, wanted, text = match.parameter.key, _float(value), value.lower()
    if op in (">", ">=", "<", "<=") and wanted is None:
        raise QueryError(
            term, f"{value!r} is no number to compare {key} with", f"cfg.{name} {op}", f"cfg.{name}:{value}"
        )

    def test(row: Row, now: float) -> bool:
        found = row.settings.get(key)
        if found is None:
            return False
        number = _float(found)
        if wanted is not None and number is not None:
            return _COMPARE[op](number, wanted)
        if op == ":":
            return text in found.lower()
        return op in ("=", "==", "!=") and (text == found.lower()) is (op != "!=")

    return test


def _near_field(field: str, rest: str) -> str:
    near = difflib.get_close_matches(field, [*NUMBERS, *TEXTS], n=1, cutoff=0.5)
    return (near[0] if near else f"cfg.{field}") + rest


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    match = _TIME.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else _float(text)
