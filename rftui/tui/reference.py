"""The tables of keys in Markdown; `python -m rftui.tui.reference docs/dashboard.md` renews them there."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from textual.screen import Screen

from rftui.tui import screens
from rftui.tui.areas import AREAS
from rftui.tui.keys import APP_KEYS, Key

HEADING = "## Keys\n"
INTRODUCTION = """
Made from the tables that bind them, by `python -m rftui.tui.reference docs/dashboard.md`.
While a field has the focus, keys type; `esc` leaves the field first.
"""


def tables() -> Iterator[str]:
    """Everything after the heading."""
    yield INTRODUCTION
    yield from _table("Everywhere", APP_KEYS)
    for name, keys in _screens():
        yield from _table(name, keys)


def _screens() -> list[tuple[str, Sequence[Key]]]:
    """Screens with keys, areas first and in their order."""
    for module in pkgutil.iter_modules(screens.__path__, f"{screens.__name__}."):
        importlib.import_module(module.name)
    order = [area.screen for area in AREAS]
    found = {cls.__name__: _own(cls) for cls in _below(Screen) if cls.__dict__.get("KEYS")}
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [(name.removesuffix("Screen"), found[name]) for name in names]


def _own(cls: type) -> list[Key]:
    """Keys that do something else than on the screen that this one derives from."""
    inherited = {key for base in cls.__mro__[1:] for key in base.__dict__.get("KEYS", ())}
    return [key for key in cls.__dict__["KEYS"] if key not in inherited]


def _below(cls: type[Any]) -> set[type[Any]]:
    """Classes of ours that derive from it."""
    below: set[type[Any]] = set()
    for sub in cls.__subclasses__():
        below |= {sub, *_below(sub)}
    return {each for each in below if each.__module__.startswith("rftui.")}


def _table(title: str, keys: Sequence[Key]) -> Iterator[str]:
    yield f"\n### {title}\n\n| key | does |\n|---|---|\n"
    for key in keys:
        yield f"| {_code(key.name)} | {key.help} |\n".replace("\\", "\\\\")


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def renewed(text: str) -> str:
    """The document with the present tables."""
    return text.partition(HEADING)[0] + HEADING + "".join(tables())


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")
