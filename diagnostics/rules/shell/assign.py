"""What assignments of a script do to its variables."""

import re

from tree_sitter import Node

from diagnostics.rules.shell.arithmetic import evaluate
from diagnostics.rules.shell.expand import Expander
from diagnostics.rules.shell.state import Array, State
from diagnostics.rules.shell.values import Piece, Value

_MOST_PIECES = 10_000
_LONGEST_VALUE = 1_000_000
"""Characters."""


class Assigner:
    """Carries out assignments in a state; `expander` gives the values."""

    def __init__(self, state: State, expander: Expander) -> None:
        self.state = state
        self.expander = expander

    def assign(self, node: Node) -> None:
        """`A=…`, `A+=…`, `A=( … )`, `A[1]=…`."""
        name_node, value_node = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name_node is None:
            return
        appends = any(child.type == "+=" for child in node.children)
        if name_node.type == "subscript":
            self._element(name_node, value_node)
            return
        name = self.expander.text(name_node)
        value: Value | Array
        if value_node is None:
            value = (Piece("", self.expander.line(node)),)
        elif value_node.type == "array":
            value = self.expander.array(value_node)
        else:
            value = self.expander.value(value_node) or (Piece("", self.expander.line(node)),)
        before = self.state.get(name)
        if appends and isinstance(before, Array):
            value = Array([*before.elements, *(value.elements if isinstance(value, Array) else [value])])
        elif (
            appends and before is not None and not isinstance(value, Array) and not isinstance(before, Array)
        ):
            value = (*before, *value)
        self.set(name, value)

    def _element(self, name_node: Node, value_node: Node | None) -> None:
        name = self.expander.text(name_node.named_children[0])
        variable = self.state.get(name)
        index = evaluate(name_node.named_children[-1], self.expander.look)
        elements = list(variable.elements) if isinstance(variable, Array) else []
        if index is not None and value_node is not None and 0 <= index <= len(elements):
            elements[index : index + 1] = [self.expander.value(value_node)]
            self.set(name, Array(elements))

    def set(self, name: str, value: Value | Array) -> None:
        """Give a variable a value."""
        if _is_too_long(value):
            value = (Piece(f"${name}", self.expander.first_line, unknown=True),)
        self.state.variables[name] = value
        if self.state.exports_all:
            self.state.exported.add(name)

    def declare(self, node: Node) -> None:
        """`export A=…`, `declare -x A`, `local A=…`, `readonly A`."""
        kind = self.expander.text(node.children[0])
        words = [self.expander.text(child) for child in node.named_children if child.type == "word"]
        exports = kind == "export" and "-n" not in words
        exports = exports or any(re.fullmatch(r"-\w*x\w*", word) for word in words)
        for child in node.named_children:
            if child.type == "variable_assignment":
                self.assign(child)
                child = child.child_by_field_name("name") or child
            if child.type == "variable_name" and exports:
                self.state.exported.add(self.expander.text(child))
            elif child.type == "variable_name" and "-n" in words:
                self.state.exported.discard(self.expander.text(child))

    def arithmetic(self, node: Node) -> None:
        """`((A = B * 2))`; other forms change what the file no longer tells."""
        for child in node.named_children:
            target = child.named_children[0] if child.named_children else None
            operator = next((self.expander.text(c) for c in child.children if not c.is_named), "")
            if target is None or target.type != "variable_name":
                continue
            if operator == "=":
                number = evaluate(child.named_children[-1], self.expander.look)
                value = (
                    self.expander.unknown(child)
                    if number is None
                    else _number(number, self.expander.line(child))
                )
                self.set(self.expander.text(target), value)
            elif operator in ("++", "--", "+=", "-=", "*=", "/="):
                self.set(self.expander.text(target), self.expander.unknown(child))


def _is_too_long(value: Value | Array) -> bool:
    """True for a value that has grown beyond all reason, by being put into itself again and again."""
    pieces = value if isinstance(value, tuple) else [piece for each in value.elements for piece in each]
    return len(pieces) > _MOST_PIECES or sum(len(piece.text) for piece in pieces) > _LONGEST_VALUE


def _number(number: int | None, line: int) -> Value:
    return (Piece(str(number), line),)
