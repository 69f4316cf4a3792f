"""The walk over a script's statements: what each sets, and which commands it would run."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from tree_sitter import Node

from diagnostics.rules.shell.assign import Assigner
from diagnostics.rules.shell.conditions import holds, is_test
from diagnostics.rules.shell.expand import Expander, unescaped_in_heredoc
from diagnostics.rules.shell.state import State
from diagnostics.rules.shell.values import (
    Piece,
    Value,
    depending,
    is_known,
    parts_of,
    text_of,
    with_line_breaks,
)

Keep = Callable[[list[Value], dict[str, Value], int], None]
"""Takes a command: its arguments, the environment it would have, its line."""
Parse = Callable[[str], tuple[Node, bytes]]

_SHELLS = ("bash", "sh", "zsh", "dash")
_NO_EFFECT = ("echo", "printf", "cd", "exit", "return", "trap", ":", "true", "false", "let", "wait", "sleep")
_STATEMENTS = ("pipeline", "list", "command")
_DEEPEST = 20
"""Functions and `bash -c` inside one another; a script that goes deeper calls itself."""


class Walker:
    """Reads the statements of one text. Commands are given to `keep`, texts of `bash -c` to `parse`."""

    def __init__(
        self, state: State, source: bytes, first_line: int, keep: Keep, parse: Parse, depth: int = 0
    ) -> None:
        self.state = state
        self.keep = keep
        self.parse = parse
        self.depth = depth
        self.first_line = first_line
        self.source = source
        self.expander = Expander(state, source, first_line)
        self.assigner = Assigner(state, self.expander)

    def visit(self, node: Node) -> None:
        """Read one statement, or a block of them."""
        match node.type:
            case "command":
                self._command(node, {})
            case "variable_assignment":
                self.assigner.assign(node)
            case "declaration_command":
                self.assigner.declare(node)
            case "unset_command":
                for child in node.named_children:
                    self.state.variables.pop(self.expander.text(child), None)
                    self.state.exported.discard(self.expander.text(child))
            case "redirected_statement":
                self._redirected(node)
            case "list":
                self._list(node)
            case "if_statement":
                self._if(node)
            case "case_statement":
                self._case(node)
            case "for_statement":
                self._for(node)
            case "c_style_for_statement" | "while_statement":
                body = node.child_by_field_name("body")
                if body is not None:
                    self.visit(body)
            case "function_definition":
                self._define(node)
            case "compound_statement" if self.expander.text(node).startswith("(("):
                self.assigner.arithmetic(node)
            case "subshell":
                self._branch().visit_all(node)
            case "comment" | "test_command":
                pass
            case _:
                self.visit_all(node)

    def visit_all(self, node: Node) -> None:
        """Read every statement below a node."""
        for child in node.named_children:
            self.visit(child)

    def _branch(self) -> "Walker":
        """A walker of the same text on a copy of the variables."""
        return Walker(self.state.copy(), self.source, self.first_line, self.keep, self.parse, self.depth)

    def _read_text(self, value: Value, *, own_variables: bool) -> None:
        """Read the text of `bash -c` or `eval`."""
        if self.depth >= _DEEPEST or not value:
            return
        root, source = self.parse(_with_its_lines(value))
        state = self.state.copy() if own_variables else self.state
        Walker(state, source, value[0].line, self.keep, self.parse, self.depth + 1).visit(root)

    # Branches and loops

    def _list(self, node: Node) -> None:
        first, second = node.named_children[0], node.named_children[-1]
        joins = next((child.type for child in node.children if child.type in ("&&", "||")), "&&")
        self.visit(first)
        truth = holds(first, self.expander)
        if truth is (joins == "||"):
            return
        certain = truth is not None or (joins == "&&" and not is_test(first, self.expander))
        if certain:
            self.visit(second)
        else:
            branch = self._branch()
            branch.visit(second)
            self.state.join([branch.state, self.state.copy()], self.expander.line(node))

    def _if(self, node: Node) -> None:
        """Read the branch that is taken, or every one where the file does not decide."""
        branches: list[Walker] = []
        for conditions, statements in _branches(node):
            truths = [holds(condition, self.expander) for condition in conditions[-1:]]
            truth = truths[0] if truths else True
            if truth is False:
                continue
            for condition in conditions:
                self.visit(condition)
            walker = self if truth and not branches else self._branch()
            for statement in statements:
                walker.visit(statement)
            if walker is self:
                return
            branches.append(walker)
            if truth:
                break
        else:
            branches.append(self._branch())
        self.state.join([walker.state for walker in branches], self.expander.line(node))

    def _case(self, node: Node) -> None:
        value = node.child_by_field_name("value")
        text = None if value is None else self.expander.look(value)
        branches = []
        for item in node.named_children:
            if item.type != "case_item":
                continue
            patterns = item.children_by_field_name("value")
            if text is not None and not any(_matches(text, self.expander.text(p)) for p in patterns):
                continue
            walker = self if text is not None else self._branch()
            for child in item.named_children:
                if child not in patterns:
                    walker.visit(child)
            if walker is self:
                return
            branches.append(walker)
        self.state.join([walker.state for walker in branches], self.expander.line(node))

    def _for(self, node: Node) -> None:
        """Read the body once, with the first of the values."""
        variable, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if variable is None or body is None:
            return
        name = self.expander.text(variable)
        nodes = node.children_by_field_name("value")
        values = [part for child in nodes for part in parts_of(self.expander.value(child))]
        if values:
            note = f"{name} takes {len(values)} values in the loop in line {self.expander.line(node)}"
            first = values[0] if len(values) == 1 else depending(values[0], note)
            self.assigner.set(name, first)
        self.visit(body)

    def _define(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.state.functions[self.expander.text(name)] = (body, self.source, self.first_line)

    # Commands

    def _redirected(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        heredoc: Value | None = None
        later: list[Node] = []
        more: list[Node] = []
        for redirect in node.children_by_field_name("redirect"):
            if redirect.type == "heredoc_redirect":
                heredoc = self._heredoc(redirect)
                later += [
                    child
                    for child in redirect.named_children
                    if child.type in ("pipeline", "list", "command")
                ]
                more += redirect.children_by_field_name("argument")
            else:
                more += redirect.children_by_field_name("destination")[1:]
        if body is not None and body.type == "command":
            self._command(body, {}, more, heredoc)
        elif body is not None:
            self.visit(body)
        for child in later:
            self.visit(child)

    def _heredoc(self, redirect: Node) -> Value:
        start = next((c for c in redirect.named_children if c.type == "heredoc_start"), None)
        body = next((c for c in redirect.named_children if c.type == "heredoc_body"), None)
        if body is None:
            return ()
        if start is not None and re.search(r"[\"'\\]", self.expander.text(start)):
            return with_line_breaks(self.expander.text(body), self.expander.line(body))
        return self.expander.mixed(body, unescaped_in_heredoc)

    def _command(
        self,
        node: Node,
        environ: dict[str, Value],
        more: list[Node] | None = None,
        heredoc: Value | None = None,
    ) -> None:
        argv: list[Value] = []
        apart = self._stand_apart(node)
        for child in [*node.named_children, *(more or [])]:
            if child.type == "variable_assignment" and apart:
                self.assigner.assign(child)
            elif child.type == "variable_assignment":
                name = child.child_by_field_name("name")
                value = child.child_by_field_name("value")
                if name is not None:
                    environ[self.expander.text(name)] = () if value is None else self.expander.value(value)
            elif child.type not in ("comment", "file_redirect", "herestring_redirect", "heredoc_redirect"):
                argv += parts_of(self.expander.value(child))
        line = self.expander.line(node)
        if argv and not self._builtin(text_of(argv[0]), argv, heredoc):
            self._run(argv, environ, line, heredoc)

    def _stand_apart(self, node: Node) -> bool:
        """True where assignments have a line of their own: the grammar puts them before the next command."""
        assigned = [child for child in node.named_children if child.type == "variable_assignment"]
        name = node.child_by_field_name("name")
        if not assigned or name is None:
            return False
        between = self.source[assigned[-1].end_byte : name.start_byte]
        return re.search(rb"(?<!\\)\n", between) is not None

    def _builtin(self, name: str, argv: list[Value], heredoc: Value | None) -> bool:
        """Follow what a builtin does to the variables; False for a command that is none of them."""
        texts = [text_of(value) for value in argv]
        match name:
            case "source" | ".":
                self.state.sourced += texts[1:2]
            case "eval":
                joined = tuple(piece for value in argv[1:] for piece in (*value, Piece(" ", value[-1].line)))
                self._read_text(joined, own_variables=False)
            case "read":
                names = [text for text in texts[1:] if text.isidentifier()]
                for variable in names[-1:] if heredoc is not None else names:
                    unknown = (Piece(f"${variable}", argv[0][0].line, unknown=True),)
                    self.state.variables[variable] = unknown if heredoc is None else _stripped(heredoc)
            case "set":
                self.state.exports_all = self.state.exports_all or "-a" in texts or "allexport" in texts
            case "shift":
                self.state.arguments = (self.state.arguments or [])[1:]
            case (
                "echo"
                | "printf"
                | "cd"
                | "exit"
                | "return"
                | "trap"
                | ":"
                | "true"
                | "false"
                | "let"
                | "wait"
            ):
                pass
            case _:
                return self._function(name, argv)
        return True

    def _function(self, name: str, argv: list[Value]) -> bool:
        if name not in self.state.functions:
            return False
        if self.depth < _DEEPEST:
            body, source, first_line = self.state.functions[name]
            before, self.state.arguments = self.state.arguments, argv[1:]
            Walker(self.state, source, first_line, self.keep, self.parse, self.depth + 1).visit(body)
            self.state.arguments = before
        return True

    def _run(self, argv: list[Value], environ: dict[str, Value], line: int, heredoc: Value | None) -> None:
        """Hand on a command, or the commands of the script that it is given."""
        texts = [text_of(value) for value in argv]
        for index, text in enumerate(texts[:-2]):
            if text.rpartition("/")[2] in _SHELLS and re.fullmatch(r"-[a-z]*c", texts[index + 1]):
                before = dict(self.state.variables), set(self.state.exported)
                self.state.variables |= environ
                self.state.exported |= set(environ)
                self._read_text(argv[index + 2], own_variables=True)
                self.state.variables, self.state.exported = before
                return
        if heredoc is not None and texts[0].rpartition("/")[2] in (*_SHELLS, "sbatch"):
            self._read_text(heredoc, own_variables=True)
            return
        exported = {
            name: value
            for name in sorted(self.state.exported)
            if isinstance(value := self.state.variables.get(name), tuple)
        }
        self.keep(argv, exported | environ, line)


def _branches(node: Node) -> list[tuple[list[Node], list[Node]]]:
    """The conditions and statements of each branch of an `if`; `else` has no condition."""
    parts: list[tuple[list[Node], list[Node]]] = [(node.children_by_field_name("condition"), [])]
    parts[0] = ([child for child in parts[0][0] if child.is_named], [])
    started = False
    for child in node.children:
        if child.type == "then":
            started = True
        elif child.type == "elif_clause":
            index = next(i for i, c in enumerate(child.children) if c.type == "then")
            conditions = [c for c in child.children[:index] if c.is_named]
            parts.append((conditions, [c for c in child.children[index + 1 :] if c.is_named]))
        elif child.type == "else_clause":
            parts.append(([], child.named_children))
        elif started and child.is_named:
            parts[0][1].append(child)
    return parts


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern.strip("\"'"))


def _stripped(value: Value) -> Value:
    """A heredoc without the white space around it, as `read` takes it."""
    pieces = list(value)
    if pieces:
        pieces[-1] = pieces[-1]._replace(text=pieces[-1].text.rstrip())
    return tuple(pieces)


def _with_its_lines(value: Value) -> str:
    """The text of a value with the continued lines put back that the quotes had joined."""
    text: list[str] = []
    line = value[0].line
    for piece in value:
        if piece.line > line and is_known(value):
            text.append("\\\n" * (piece.line - line))
            line = piece.line
        text.append(piece.text)
        line += piece.text.count("\n")
    return "".join(text)
