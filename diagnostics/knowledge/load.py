"""Reads the knowledge base, once per process."""

import functools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from diagnostics.knowledge.schema import Cause, KnowledgeFile, Signature

FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Knowledge(msgspec.Struct, frozen=True):
    """All files together."""

    causes: dict[str, Cause]
    groups: dict[str, str]
    """Group of each cause."""
    signatures: tuple[Signature, ...]


def read_file(path: Path) -> KnowledgeFile:
    """One file; msgspec.ValidationError names the key that is wrong."""
    with path.open("rb") as file:  # a syntax error then names it
        return msgspec.convert(yaml.load(file, _LOADER), KnowledgeFile, str_keys=True)


def together(files: Sequence[KnowledgeFile]) -> Knowledge:
    """What several files say."""
    return Knowledge(
        causes={slug: cause for file in files for slug, cause in file.causes.items()},
        groups={slug: file.group for file in files for slug in file.causes},
        signatures=tuple(signature for file in files for signature in file.signatures),
    )


@functools.cache
def knowledge() -> Knowledge:
    """The whole knowledge base."""
    return together([read_file(path) for path in sorted(FOLDER.glob("*.yaml"))])
