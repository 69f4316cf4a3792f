"""The bundled table of models, `models.json`: what their `config.json` says of their dimensions."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

TABLE = Path(__file__).with_name("models.json")


class Entry(msgspec.Struct, frozen=True):
    """A model of the bundled table."""

    id: str
    same: tuple[str, ...]
    """Others with the same dimensions."""
    params: int
    """As transformers builds it."""
    source: str
    """Where the dimensions come from."""
    config: dict[str, Any]
    """What its `config.json` says of its dimensions."""

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.id, *self.same)


@lru_cache(maxsize=1)
def table() -> tuple[Entry, ...]:
    """The bundled models."""
    return msgspec.json.decode(TABLE.read_bytes(), type=tuple[Entry, ...])


@lru_cache(maxsize=1)
def by_name() -> Mapping[str, tuple[Entry, str]]:
    """Every name in lower case → its entry and hub id. Whole names win over shortened ones."""
    names: dict[str, tuple[Entry, str]] = {}
    for shorten in (str, bare_name, lambda hub_id: bare_name(hub_id).removesuffix("-Instruct")):
        for entry in table():
            for hub_id in entry.ids:
                names.setdefault(shorten(hub_id).lower(), (entry, hub_id))
    return names


def bare_name(hub_id: str) -> str:
    """A hub id without its organisation."""
    return hub_id.rpartition("/")[2]
