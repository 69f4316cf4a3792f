"""Built-in rule rewards: 1 for a right final answer, 0 otherwise. Only the response is looked at."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.rewards.answers import final_answer, gold_answer
from engine.rewards.quantities import quantity, same_quantity
from engine.rewards.symbolic import equivalent

Rule = Callable[[Sequence[str], Sequence[Any]], list[float]]

_MATHS = re.compile(r"[\d\\^_+*/=<>()\[\]-]")


def maths(responses: Sequence[str], labels: Sequence[Any]) -> list[float]:
    """Whether the final answer of each response equals that of its label.

    Plain numbers (currency, separators, percent, units, fractions) compare exactly; other mathematics is
    left to math-verify; the rest compares as text.
    """
    return [float(_right(response, label)) for response, label in zip(responses, labels, strict=True)]


def exact(responses: Sequence[str], labels: Sequence[Any]) -> list[float]:
    """Whether each response is its label, white space around it aside."""
    return [float(r.strip() == str(label).strip()) for r, label in zip(responses, labels, strict=True)]


RULES: dict[str, Rule] = {"gsm8k": maths, "math": maths, "exact": exact}
"""`gsm8k` and `math` are one rule: it reads either data set's labels, and neither needs other treatment."""


def _right(response: str, label: Any) -> bool:
    answer = final_answer(response)
    return answer is not None and same_answer(answer, _gold(str(label)))


_gold = functools.lru_cache(maxsize=1024)(gold_answer)


def same_answer(answer: str, gold: str) -> bool:
    """Whether two final answers, as `final_answer` and `gold_answer` give them, mean the same."""
    a, g = quantity(answer), quantity(gold)
    if a and g:
        return same_quantity(a, g)
    if "".join(answer.split()).casefold() == "".join(gold.split()).casefold():
        return True
    return bool(_MATHS.search(answer) and _MATHS.search(gold)) and equivalent(answer, gold)
