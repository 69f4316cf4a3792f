"""Integer arithmetic of the shell, over a syntax tree."""

import operator
from collections.abc import Callable

from tree_sitter import Node

Look = Callable[[Node], str | None]
"""The text of a variable or expansion in an expression, None where it is not known."""


def _quotient(a: int, b: int) -> int:
    """Division as the shell does it: toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "**": operator.pow,
    "/": _quotient,
    "%": lambda a, b: a - b * _quotient(a, b),
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "||": lambda a, b: int(bool(a) or bool(b)),
}
_LARGEST_POWER = 64


def evaluate(node: Node, look: Look) -> int | None:
    """The value of an expression's node, None where a part of it is not known or it cannot be evaluated."""
    inner = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "number":
            return as_int(_text(node))
        case "variable_name" | "word" | "simple_expansion" | "expansion" | "string" | "subscript":
            return as_int(look(node))
        case "arithmetic_expansion" | "parenthesized_expression" if len(inner) == 1:
            return evaluate(inner[0], look)
        case "unary_expression" if inner:
            return _unary(_operator(node), evaluate(inner[-1], look))
        case "ternary_expression" if len(inner) == 3:
            condition = evaluate(inner[0], look)
            return None if condition is None else evaluate(inner[1 if condition else 2], look)
        case "binary_expression" if len(inner) == 2:
            return _binary(_operator(node), evaluate(inner[0], look), evaluate(inner[1], look))
    return None


def as_int(text: str | None) -> int | None:
    """A number as the shell writes it (decimal, 0x…), an empty text being 0; None for anything else."""
    if text is None:
        return None
    text = text.strip()
    if not text:
        return 0
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None


def _unary(sign: str, value: int | None) -> int | None:
    if value is None:
        return None
    return {"-": -value, "+": value, "!": int(not value), "~": ~value}.get(sign)


def _binary(sign: str, left: int | None, right: int | None) -> int | None:
    if left is None or right is None or sign not in _OPERATORS:
        return None
    if sign in ("**", "<<", ">>") and not 0 <= right <= _LARGEST_POWER:
        return None
    try:
        return _OPERATORS[sign](left, right)
    except ZeroDivisionError:
        return None


def _operator(node: Node) -> str:
    return next((_text(child) for child in node.children if not child.is_named), "")


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
