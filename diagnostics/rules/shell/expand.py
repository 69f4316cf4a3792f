"""Expansion of words: what `"$A"`, `${B:-8}`, `${ARGS[@]}`, `$((a*b))` stand for, as far as the file says."""

import re
from collections.abc import Callable
from fnmatch import translate

from tree_sitter import Node

from diagnostics.rules.shell.arithmetic import as_int, evaluate
from diagnostics.rules.shell.state import Array, State, Variable
from diagnostics.rules.shell.values import (
    Piece,
    Value,
    is_known,
    parts_of,
    splitting,
    text_of,
    with_line_breaks,
)

_QUOTES = ("string", "raw_string", "ansi_c_string")


class Expander:
    """Expands the nodes of one piece of shell text. `first_line`: where the text starts in its file."""

    def __init__(self, state: State, source: bytes, first_line: int = 1) -> None:
        self.state = state
        self.source = source
        self.first_line = first_line

    def line(self, node: Node) -> int:
        """Line of a node in its file, from 1."""
        return node.start_point[0] + self.first_line

    def text(self, node: Node) -> str:
        """A node as it is written."""
        return (node.text or b"").decode("utf-8", "replace")

    def value(self, node: Node) -> Value:
        """What a node of a word stands for."""
        match node.type:
            case "raw_string":
                return self._quoted(with_line_breaks(self.text(node)[1:-1], self.line(node)), node)
            case "ansi_c_string":
                return (Piece(_ansi_c(self.text(node)[2:-1]), self.line(node)),)
            case "string" | "translated_string":
                return self._quoted(self.mixed(node, _unescaped_in_quotes), node)
            case "concatenation" | "command_name":
                return self.mixed(node, _unescaped)
            case "simple_expansion":
                return self._variable(node, self.text(node.named_children[0]))
            case "expansion":
                keeps_words = _in_quotes(node) or any(child.type in _QUOTES for child in node.named_children)
                return splitting(self._expansion(node), not keeps_words)
            case "arithmetic_expansion":
                number = evaluate(node, self.look)
                return self.unknown(node) if number is None else (Piece(str(number), self.line(node)),)
            case "command_substitution" | "process_substitution":
                return self.unknown(node)
            case _:
                return (Piece(_unescaped(self.text(node)), self.line(node)),)

    def array(self, node: Node) -> Array:
        """The elements of `( … )`."""
        elements: list[Value] = []
        for child in node.named_children:
            if child.type != "comment":
                elements += parts_of(self.value(child))
        return Array(elements)

    def mixed(self, node: Node, unescape: Callable[[str], str]) -> Value:
        """Literal text with expansions in it; the literal parts are what lies between the expansions."""
        start, end = node.start_byte, node.end_byte
        if node.type in ("string", "translated_string"):
            start, end = start + self.text(node).index('"') + 1, end - 1
        pieces: list[Piece] = []

        def literal(until: int) -> None:
            text = self.source[start:until].decode("utf-8", "replace")
            line = self.source.count(b"\n", 0, start) + self.first_line
            for piece in with_line_breaks(text, line):
                pieces.append(piece._replace(text=unescape(piece.text)))

        for child in node.named_children:
            if child.type in ("string_content", "heredoc_content", "word", "number"):
                continue
            literal(child.start_byte)
            pieces += self.value(child)
            start = child.end_byte
        literal(end)
        return tuple(pieces)

    def look(self, node: Node) -> str | None:
        """The text of a variable or word for arithmetic and tests, None where it is not known."""
        if node.type == "variable_name" or (node.type == "word" and self.text(node).isidentifier()):
            found = self.state.get(self.text(node))
            value = _first(found)
            return None if value is None or not is_known(value) else text_of(value)
        value = self.value(node)
        return text_of(value) if is_known(value) else None

    def unknown(self, node: Node) -> Value:
        """A part whose value is not in the file."""
        return (Piece(" ".join(self.text(node).split()), self.line(node), unknown=True),)

    def _quoted(self, value: Value, node: Node) -> Value:
        """A quoted value: an empty one is still a word."""
        spreads = re.search(r"\[@\]|\$@|\$\{@", self.text(node)) is not None
        return value or (() if spreads else (Piece("", self.line(node)),))

    def _variable(self, node: Node, name: str) -> Value:
        splits = not _in_quotes(node)
        if name in ("@", "*"):
            return splitting(_joined(self.state.arguments or []), splits)
        found = _first(self.state.get(name))
        return self.unknown(node) if found is None else splitting(found, splits)

    def _expansion(self, node: Node) -> Value:
        """`${…}`; a form that is not understood is an unknown part."""
        target = next((c for c in node.named_children if c.type != "command_substitution"), None)
        if target is None:
            return self.unknown(node)
        before, operator, operand = self._parts(node, target)
        if before == "!":
            return self.unknown(node)
        if before == "#":
            return self._length(node, target)
        found = self._target(target)
        if operator in (":-", "-", ":=", "=", ":+", "+"):
            return self._default(node, target, operator, operand, found)
        if found is None:
            return self.unknown(node)
        if not operator or operator in (":?", "?"):
            return found
        return self._changed(node, operator, operand, found)

    def _parts(self, node: Node, target: Node) -> tuple[str, str, list[Node]]:
        """What stands before the name, the operator after it, and the nodes of its operand."""
        before = operator = ""
        operand: list[Node] = []
        for child in node.children[1:-1] if self.text(node).startswith("${") else node.children:
            if child.start_byte < target.start_byte:
                before = self.text(child)
            elif child.start_byte > target.start_byte:
                if not operator and not child.is_named:
                    operator = self.text(child)
                else:
                    operand.append(child)
        return before, operator, operand

    def _target(self, target: Node) -> Value | None:
        """The value of the variable or element that `${…}` names."""
        if target.type != "subscript":
            name = self.text(target)
            if name in ("@", "*"):
                return _joined(self.state.arguments or [])
            return _first(self.state.get(name))
        name_node, index_node = target.named_children[0], target.named_children[-1]
        variable = self.state.get(self.text(name_node))
        if variable is None:
            return None
        elements = variable.elements if isinstance(variable, Array) else [variable]
        if self.text(index_node) in ("@", "*"):
            return _joined(elements)
        index = evaluate(index_node, self.look)
        if index is None or not -len(elements) <= index < len(elements):
            return None
        return elements[index]

    def _default(
        self, node: Node, target: Node, operator: str, operand: list[Node], found: Value | None
    ) -> Value:
        given = found is not None and (not operator.startswith(":") or text_of(found) != "")
        if operator.endswith("+"):
            return self._operand(operand) if given else ()
        if given and found is not None:
            return found
        default = self._operand(operand) or (Piece("", self.line(node)),)
        if operator.endswith("=") and target.type == "variable_name":
            self.state.variables[self.text(target)] = default
        return default

    def _operand(self, operand: list[Node]) -> Value:
        return tuple(piece for node in operand for piece in self.value(node))

    def _length(self, node: Node, target: Node) -> Value:
        if target.type == "subscript":
            variable = self.state.get(self.text(target.named_children[0]))
            size = len(variable.elements) if isinstance(variable, Array) else None
        else:
            found = _first(self.state.get(self.text(target)))
            size = len(text_of(found)) if found is not None and is_known(found) else None
        return self.unknown(node) if size is None else (Piece(str(size), self.line(node)),)

    def _changed(self, node: Node, operator: str, operand: list[Node], found: Value) -> Value:
        """Prefix and suffix removal, replacement, case and substring, of a value that is known."""
        if not is_known(found) or any(piece.ends_word for piece in found):
            return self.unknown(node)
        text = text_of(found)
        named = [child for child in operand if child.is_named]
        pattern = text_of(self._operand(named[:1]))
        changed: str | None = None
        if operator in ("#", "##", "%", "%%"):
            changed = _trimmed(text, operator, pattern)
        elif operator in ("/", "//"):
            new = text_of(self._operand(named[1:2]))
            changed = re.sub(_regex(pattern), lambda _: new, text, count=0 if operator == "//" else 1)
        elif operator in (",,", "^^"):
            changed = text.lower() if operator == ",," else text.upper()
        elif operator == ":":
            numbers = [as_int(text_of(self.value(child))) for child in named]
            changed = _substring(text, numbers)
        return self.unknown(node) if changed is None else (Piece(changed, self.line(node)),)


def _in_quotes(node: Node) -> bool:
    """True inside double quotes or a heredoc, where nothing is split into words."""
    parent = node.parent
    while parent is not None and parent.type in ("expansion", "concatenation", "string", "heredoc_body"):
        if parent.type in ("string", "heredoc_body"):
            return True
        parent = parent.parent
    return parent is not None and parent.type == "variable_assignment"


def _first(variable: Variable | None) -> Value | None:
    """`$A` of an array is its first element."""
    if isinstance(variable, Array):
        return variable.elements[0] if variable.elements else None
    return variable


def _joined(elements: list[Value]) -> Value:
    """Elements one after the other, with the bounds of words between them."""
    pieces: list[Piece] = []
    for element in elements:
        if pieces:
            pieces.append(Piece("", 0, ends_word=True))
        pieces += element
    return tuple(pieces)


def _unescaped(text: str) -> str:
    """Unquoted text without its backslashes and continued lines."""
    return re.sub(r"\\(.|\n)", lambda match: "" if match[1] == "\n" else match[1], text, flags=re.S)


def _unescaped_in_quotes(text: str) -> str:
    r"""Text in double quotes: a backslash counts before `$`, `` ` ``, `"`, `\` and a line's end."""
    return re.sub(r"\\([$`\"\\\n])", lambda match: "" if match[1] == "\n" else match[1], text)


def unescaped_in_heredoc(text: str) -> str:
    r"""Text of a heredoc: as in double quotes, except that `"` stands for itself."""
    return re.sub(r"\\([$`\\\n])", lambda match: "" if match[1] == "\n" else match[1], text)


def _ansi_c(text: str) -> str:
    """The common escapes of `$'…'`."""
    named = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
    return re.sub(r"\\(.)", lambda match: named.get(match[1], match[0]), text, flags=re.S)


def _regex(pattern: str) -> str:
    """A glob as a regular expression that may match anywhere."""
    return translate(pattern).removeprefix("(?s:").removesuffix(r")\Z")


def _trimmed(text: str, operator: str, pattern: str) -> str:
    """`${A#p}`, `${A##p}`, `${A%p}`, `${A%%p}`."""
    whole = re.compile(translate(pattern))
    cuts = range(len(text) + 1)
    if operator[0] == "#":
        found = [cut for cut in cuts if whole.match(text[:cut])]
        return text[found[-1 if operator == "##" else 0] :] if found else text
    found = [cut for cut in cuts if whole.match(text[cut:])]
    return text[: found[0 if operator == "%%" else -1]] if found else text


def _substring(text: str, numbers: list[int | None]) -> str | None:
    if not numbers or any(number is None for number in numbers):
        return None
    start = numbers[0] or 0
    if len(numbers) == 1:
        return text[start:]
    length = numbers[1] or 0
    return text[start : start + length] if length >= 0 else text[start:length]
