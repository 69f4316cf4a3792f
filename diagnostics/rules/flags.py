"""Options of a command line as argparse takes them: `--name value`, `--name=value`, prefixes, switches."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from diagnostics.rules.foreign import Setting
from diagnostics.rules.secrets import hidden
from diagnostics.rules.shell.values import Word
from engine.findings import Finding, Fix

_LONGEST = 60
"""Characters of a word that are shown."""

Kind = Literal["switch", "int", "float", "str"]


class Flag(NamedTuple):
    """One option of a program. `sets`: the option that it stores to, where that is another one.

    `values`: how many it takes; None: any number.
    """

    kind: Kind
    default: Any = None
    choices: tuple[str, ...] = ()
    values: int | None = 1
    sets: str = ""
    value: bool = True
    """What a switch stores."""
    instead: Mapping[str, str] = {}
    """What to write for values that are often meant: `{"grpo": "group_norm"}`."""


def switch(default: bool = False) -> Flag:
    """`--name` alone."""
    return Flag("switch", default)


class Parsed(NamedTuple):
    """`unknown`: options that the program does not have; argparse stops at them."""

    settings: dict[str, Setting]
    unknown: dict[str, Setting]
    problems: list[Finding]


def parse_flags(words: Sequence[Word], flags: Mapping[str, Flag], path: str, id: str) -> Parsed:
    """The options of a command line. `id` begins the findings' ids: `check.lightrft`.

    A value that is not in the file stays as it is written, `$N`.
    """
    reader = _Reader(flags, path, id)
    rest = list(words)
    while rest:
        rest = reader.take(rest)
    return Parsed(reader.settings, reader.unknown, reader.problems)


class _Reader:
    def __init__(self, flags: Mapping[str, Flag], path: str, id: str) -> None:
        self.flags = flags
        self.path = Path(path).name
        self.id = id
        self.settings: dict[str, Setting] = {}
        self.unknown: dict[str, Setting] = {}
        self.problems: list[Finding] = []

    def take(self, words: list[Word]) -> list[Word]:
        """Read the first option or stray word; the words that are left."""
        first, rest = words[0], words[1:]
        if not _is_option(first):
            if first.unknown:
                cause = f"{_short(first.text)} may hold more options, perhaps those that are missing."
                self._problem("more-options", first, cause, severity="info")
            else:
                cause = f"{_short(first.text)!r} belongs to no option: the launch stops there."
                self._problem("stray-word", first, cause)
            return rest
        name, equals, inline = first.text.lstrip("-").partition("=")
        name = self._full_name(
            name.replace("-", "_") if name.replace("-", "_") in self.flags else name, first
        )
        flag = self.flags.get(name)
        if flag is None:
            end = 0 if equals else _values_end(rest, None)
            value: Any = inline if equals else " ".join(word.text for word in rest[:end]) or True
            self.unknown[name] = Setting(value, first.line)
            return rest[end:]
        if flag.kind == "switch":
            if equals:
                self._problem("switch-value", first, f"--{name} takes no value, but is given {inline!r}.")
            self._set(flag.sets or name, flag.value, first)
            return rest
        given = [Word(inline, first.line, first.unknown, first.depends)] if equals else []
        end = 0 if equals else _values_end(rest, flag.values)
        self._store(name, flag, [*given, *rest[:end]], first)
        return rest[end:]

    def _full_name(self, name: str, word: Word) -> str:
        """argparse takes the beginning of an option's name where only one option begins so."""
        if name in self.flags:
            return name
        longer = [known for known in self.flags if known.startswith(name)]
        if len(longer) != 1 or not name:
            return name
        self._problem("abbreviated", word, f"--{name} is taken for --{longer[0]}.", severity="info")
        return longer[0]

    def _store(self, name: str, flag: Flag, given: list[Word], first: Word) -> None:
        if flag.values is not None and len(given) != flag.values:
            wanted = "a value" if flag.values == 1 else f"{flag.values} values"
            got = "none" if not given else str(len(given))
            self._problem(
                "value-missing", first, f"--{name} needs {wanted}, and has {got}: the launch stops there."
            )
            return
        values = [self._converted(name, flag, word) for word in given]
        self._set(flag.sets or name, values[0] if flag.values == 1 else values, first)

    def _converted(self, name: str, flag: Flag, word: Word) -> Any:
        if word.unknown:
            return word.text
        if flag.choices and word.text not in flag.choices:
            meant = flag.instead.get(word.text)
            near = [meant] if meant else difflib.get_close_matches(word.text, flag.choices, 1)
            fixes = (Fix(f"use {near[0]}", command=f"--{name} {near[0]}"),) if near else ()
            cause = f"--{name} {word.text} is refused: it is one of {', '.join(flag.choices)}."
            self._problem("bad-choice", word, cause, fixes=fixes, param=name)
            return word.text
        try:
            value = {"int": int, "float": float, "str": str}[flag.kind](word.text)
            return hidden(name, value) if isinstance(value, str) else value
        except ValueError:
            wanted = "a whole number" if flag.kind == "int" else "a number"
            shown = f"{word.text!r}" if word.text else "an empty text"
            cause = f"--{name} needs {wanted} and is given {shown}: the launch stops there."
            self._problem("bad-value", word, cause, param=name)
            return word.text

    def _set(self, name: str, value: Any, word: Word) -> None:
        before = self.settings.get(name)
        if before is not None and before.value != value:
            cause = f"--{name} is given before, in line {before.line}; the last one counts."
            self._problem("given-twice", word, cause, severity="warning", param=name)
        self.settings[name] = Setting(value, word.line)

    def _problem(
        self,
        kind: str,
        word: Word,
        cause: str,
        *,
        severity: Literal["error", "warning", "info"] = "error",
        fixes: tuple[Fix, ...] = (),
        param: str = "",
    ) -> None:
        place = f"{self.path} line {word.line}: {_short(word.text)}"
        self.problems.append(Finding(f"{self.id}.{kind}", severity, cause, (place,), fixes, param))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _is_option(word: Word) -> bool:
    """`-1` is a value."""
    return word.text.startswith("--") or (
        len(word.text) > 1 and word.text[0] == "-" and word.text[1].isalpha()
    )


def _values_end(words: Sequence[Word], count: int | None) -> int:
    """How many of `words` are values of the option before them."""
    end = 0
    while end < len(words) and (count is None or end < count) and not _is_option(words[end]):
        end += 1
    return end


def whole(default: int | None = None) -> Flag:
    """`--name 8`."""
    return Flag("int", default)


def real(default: float | None = None, values: int = 1) -> Flag:
    """`--name 0.5`."""
    return Flag("float", default, values=values)


def text(default: str | None = None, *choices: str) -> Flag:
    """`--name words`."""
    return Flag("str", default, choices)


def texts(default: str | None = None) -> Flag:
    """`--name one two three`."""
    return Flag("str", default, values=None)
