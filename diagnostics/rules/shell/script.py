"""A launch script as the list of commands that it would run, with their variables; nothing is executed.

Bash is parsed by tree-sitter. Assignments, exports, arrays, defaults, arithmetic, heredocs read into a
variable, functions and `bash -c "…"` are followed. What only the machine or the caller knows (an unset
variable, `$(…)`, `$1`) stays in the words as it is written and is marked unknown. Where a condition cannot
be decided, every branch is read.
"""

import functools

import msgspec
import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from diagnostics.rules.shell.state import State
from diagnostics.rules.shell.syntax import Problem, mended, syntax_problems
from diagnostics.rules.shell.values import Value, Word, word_of
from diagnostics.rules.shell.walk import Walker


class Command(msgspec.Struct, frozen=True):
    """One command. `environ`: what the script exports up to it, or sets in front of it."""

    argv: tuple[Word, ...]
    environ: dict[str, Word]
    line: int

    def texts(self) -> list[str]:
        """The arguments' texts."""
        return [word.text for word in self.argv]


class Script(msgspec.Struct, frozen=True):
    """A script's commands in order. `sourced`: other scripts that it reads, which are not followed."""

    commands: tuple[Command, ...]
    problems: tuple[Problem, ...] = ()
    sourced: tuple[str, ...] = ()


def parse_script(text: str) -> Script:
    """Read a script. A part that is not shell is skipped and told of in `problems`."""
    state = State()
    found: list[Command] = []

    def keep(argv: list[Value], environ: dict[str, Value], line: int) -> None:
        words = tuple(word_of(value, line) for value in argv)
        found.append(Command(words, {name: word_of(value, line) for name, value in environ.items()}, line))

    root, source, problems = _parse(text)
    Walker(state, source, 1, keep, lambda text: _parse(text)[:2]).visit(root)
    return Script(tuple(found), tuple(problems), tuple(dict.fromkeys(state.sourced)))


def _parse(text: str) -> tuple[Node, bytes, list[Problem]]:
    """The syntax tree of a script, with continued lines that are broken mended as they were meant."""
    source = text.encode("utf-8", "replace")
    root = _parser().parse(source).root_node
    source, problems = mended(root, source)
    if problems:
        root = _parser().parse(source).root_node
    return root, source, [*problems, *syntax_problems(root)]


@functools.cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))
