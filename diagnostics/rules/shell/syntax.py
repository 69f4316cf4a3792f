"""What is wrong with a script's text itself: continued lines that end too early, parts that are not shell."""

import re

import msgspec
from tree_sitter import Node

_MOST_SHOWN = 60


class Problem(msgspec.Struct, frozen=True):
    """A fault of the text. `id`: `shell.broken-continuation` or `shell.syntax`; `line` from 1."""

    id: str
    line: int
    cause: str


def mended(root: Node, source: bytes) -> tuple[bytes, list[Problem]]:
    r"""The text with its broken continuations mended, line for line, and a problem for each.

    A comment between continued lines ends the command, and so does `\` with a space after it: what follows
    is run as a command of its own. Both are read as they were meant, so that the rest can be checked.
    """
    lines = source.split(b"\n")
    comments = _breaking_comments(root, lines)
    for row in comments:
        lines[row] = b"\\"
    inside = _heredoc_lines(root)
    spaces = [
        row
        for row, line in enumerate(lines)
        if re.search(rb"\s\\[ \t]+\r?$", line) and row not in inside and _goes_on(lines, row)
    ]
    for row in spaces:
        lines[row] = lines[row].rstrip()
    problems = []
    if comments:
        found = _lines("A comment is written in", "Comments are written in", comments)
        cause = (
            f"{found}, between the lines of one command, and end it there: the arguments after it are not "
            "passed on."
        )
        problems.append(Problem("shell.broken-continuation", comments[0] + 1, cause))
    if spaces:
        found = _lines("A space follows the backslash in", "A space follows the backslashes in", spaces)
        cause = f"{found}, which ends the command there: the arguments after it are not passed on."
        problems.append(Problem("shell.broken-continuation", spaces[0] + 1, cause))
    return b"\n".join(lines), problems


def syntax_problems(root: Node) -> list[Problem]:
    """A problem for each part of a tree that is not shell."""
    if not root.has_error:
        return []
    problems: dict[int, Problem] = {}
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.is_error or node.is_missing:
            line = node.start_point[0] + 1
            text = " ".join((node.text or b"").decode("utf-8", "replace").split())[:_MOST_SHOWN]
            cause = f"Line {line} cannot be read as shell" + (
                f": {text}" if text else ": something is missing."
            )
            problems.setdefault(line, Problem("shell.syntax", line, cause))
        elif node.has_error:
            nodes += node.children
    return [problems[line] for line in sorted(problems)]


def _breaking_comments(root: Node, lines: list[bytes]) -> list[int]:
    """Rows of comments that cut a continued command in two, in order."""
    rows = []
    nodes = [root]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        in_array = node.parent is not None and node.parent.type == "array"
        if node.type == "comment" and not in_array and lines[node.start_point[0]].lstrip().startswith(b"#"):
            rows.append(node.start_point[0])
    breaking: list[int] = []
    for row in sorted(rows):
        continued = row > 0 and re.search(rb"(^|\s)\\\r?$", lines[row - 1])
        if (continued or row - 1 in breaking) and _goes_on(lines, row):
            breaking.append(row)
    return breaking


def _goes_on(lines: list[bytes], row: int) -> bool:
    """True where arguments, not a new command, stand in the next line that says something."""
    for line in lines[row + 1 :]:
        text = line.strip()
        if text != b"\\" and not text.startswith(b"#"):
            return re.match(rb"[-+]|[\w.]+\.[\w.]+=|\w+=\S+\s*\\$", text) is not None
    return False


def _lines(one: str, several: str, rows: list[int]) -> str:
    numbers = ", ".join(str(row + 1) for row in rows)
    return f"{one} line {numbers}" if len(rows) == 1 else f"{several} lines {numbers}"


def _heredoc_lines(root: Node) -> set[int]:
    rows: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if node.type == "heredoc_body":
            rows |= set(range(node.start_point[0], node.end_point[0] + 1))
        else:
            nodes += node.children
    return rows
