"""What is set at a point of a script: variables, exports, functions, and the joining of branches."""

from typing import Any

from diagnostics.rules.secrets import is_secret_name
from diagnostics.rules.shell.values import Value, depending, text_of


class Array:
    """A shell array: a value an element."""

    def __init__(self, elements: list[Value]) -> None:
        self.elements = elements

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and _texts(self) == _texts(other)


Variable = Value | Array


class State:
    """The variables of a script while it is read. `arguments`: of the function that is read, else None."""

    def __init__(self) -> None:
        self.variables: dict[str, Variable] = {}
        self.exported: set[str] = set()
        self.functions: dict[str, Any] = {}
        self.arguments: list[Value] | None = None
        self.sourced: list[str] = []
        self.exports_all = False

    def copy(self) -> "State":
        """An independent state for one branch."""
        other = State()
        other.variables = dict(self.variables)
        other.exported = set(self.exported)
        other.functions = dict(self.functions)
        other.arguments = self.arguments
        other.sourced = self.sourced
        other.exports_all = self.exports_all
        return other

    def get(self, name: str) -> Variable | None:
        """A variable or argument, None where the file does not set it."""
        if name.isdigit() and self.arguments is not None:
            index = int(name) - 1
            return self.arguments[index] if 0 <= index < len(self.arguments) else ()
        return self.variables.get(name)

    def join(self, branches: list["State"], line: int) -> None:
        """Take over what `branches` set; where they differ, the first that sets it counts and this is said.

        `line`: of the condition that chooses between them.
        """
        names = dict.fromkeys(name for branch in branches for name in branch.variables)
        before = dict(self.variables)
        for name in names:
            values = [branch.variables.get(name) for branch in branches]
            changed = [value for value in values if value is not None and value is not before.get(name)]
            if not changed:
                continue
            self.variables[name] = changed[0]
            if any(_texts(value) != _texts(changed[0]) for value in values):
                self.variables[name] = _with_note(changed[0], _note(name, values, line))
        for branch in branches:
            self.exported |= branch.exported
            self.functions |= branch.functions


def _note(name: str, values: list[Variable | None], line: int) -> str:
    if is_secret_name(name):
        return f"{name} is one key or another, by the condition in line {line}"
    shown = [
        f'"{text}"' if text is not None else "what the environment gives"
        for text in dict.fromkeys(map(_shown, values))
    ]
    return f"{name} is {' or '.join(shown)}, by the condition in line {line}"


def _shown(value: Variable | None) -> str | None:
    texts = _texts(value)
    if texts is None:
        return None
    text = " ".join(" ".join(texts).split())
    return text if len(text) <= 60 else text[:57] + "…"


def _texts(value: Variable | None) -> list[str] | None:
    if value is None:
        return None
    return [text_of(element) for element in value.elements] if isinstance(value, Array) else [text_of(value)]


def _with_note(value: Variable, note: str) -> Variable:
    if isinstance(value, Array):
        return Array([depending(element, note) for element in value.elements])
    return depending(value, note)
