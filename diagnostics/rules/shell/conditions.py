"""Whether a condition of a script holds, as far as the file says."""

from fnmatch import fnmatchcase

from tree_sitter import Node

from diagnostics.rules.shell.arithmetic import as_int, evaluate
from diagnostics.rules.shell.expand import Expander

_NUMBERS = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}


def holds(node: Node, expander: Expander) -> bool | None:
    """True or False where the file decides a condition, None where the machine or the caller does."""
    inner = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "test_command" | "parenthesized_expression" if len(inner) == 1:
            return holds(inner[0], expander)
        case "compound_statement" if expander.text(node).startswith("((") and len(inner) == 1:
            number = evaluate(inner[0], expander.look)
            return None if number is None else bool(number)
        case "negated_command" if inner:
            return _negated(holds(inner[-1], expander))
        case "unary_expression" if inner:
            return _unary(node, inner, expander)
        case "binary_expression" | "list" if len(inner) >= 2:
            return _binary(node, inner, expander)
        case "command" if expander.text(node) in ("true", ":", "false"):
            return expander.text(node) != "false"
        case "string" | "raw_string" | "simple_expansion" | "expansion" | "number" | "concatenation":
            text = expander.look(node)
            return None if text is None else text != ""
    return None


def is_test(node: Node, expander: Expander) -> bool:
    """True for what is there to be tested (`[ … ]`, `(( … ))`), False for a command that does something."""
    if node.type == "negated_command":
        return True
    if node.type == "list":
        return all(is_test(child, expander) for child in node.named_children)
    return node.type == "test_command" or (
        node.type == "compound_statement" and expander.text(node).startswith("((")
    )


def _unary(node: Node, inner: list[Node], expander: Expander) -> bool | None:
    operator = expander.text(node.children[0])
    if operator == "!":
        return _negated(holds(inner[-1], expander))
    text = expander.look(inner[-1])
    if operator not in ("-z", "-n") or text is None:
        return None
    return (text == "") == (operator == "-z")


def _binary(node: Node, inner: list[Node], expander: Expander) -> bool | None:
    left, right = inner[0], inner[-1]
    operator = next(
        (
            expander.text(child)
            for child in node.children
            if left.end_byte <= child.start_byte < right.start_byte
        ),
        "",
    )
    if operator in ("&&", "-a"):
        return _both(holds(left, expander), holds(right, expander))
    if operator in ("||", "-o"):
        return _negated(_both(_negated(holds(left, expander)), _negated(holds(right, expander))))
    first, second = expander.look(left), expander.look(right)
    if first is None or second is None:
        return None
    if operator in ("=", "==", "!="):
        same = first == second if right.type in ("string", "raw_string") else fnmatchcase(first, second)
        return same == (operator != "!=")
    return _compared(operator, as_int(first), as_int(second))


def _compared(operator: str, first: int | None, second: int | None) -> bool | None:
    if first is None or second is None:
        return None
    match _NUMBERS.get(operator):
        case "==":
            return first == second
        case "!=":
            return first != second
        case "<":
            return first < second
        case "<=":
            return first <= second
        case ">":
            return first > second
        case ">=":
            return first >= second
    return None


def _both(first: bool | None, second: bool | None) -> bool | None:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value
