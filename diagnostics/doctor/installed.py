"""Installed Python distributions, read from the headers of their metadata; no package is imported.

`importlib.metadata` finds them; its parser takes 2 ms a distribution, and reading the header alone 0.1 ms.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution as Found
from importlib.metadata import DistributionFinder, MetadataPathFinder

from packaging.utils import canonicalize_name

from diagnostics.doctor.host import Distribution


def installed(search_path: Sequence[str]) -> Mapping[str, tuple[Distribution, ...]]:
    """By normalised name, in the order of the path: the first of a name is the one that is imported."""
    folders = list(dict.fromkeys(os.path.realpath(entry or ".") for entry in search_path))
    by_name: dict[str, tuple[Distribution, ...]] = {}
    for found in MetadataPathFinder.find_distributions(DistributionFinder.Context(path=folders)):
        read = _read(found)
        if read is not None:
            name = canonicalize_name(read.name)
            by_name[name] = (*by_name.get(name, ()), read)
    return by_name


def _read(found: Found) -> Distribution | None:
    """None for a folder without readable metadata, such as what an interrupted removal leaves behind."""
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    header = text.partition("\n\n")[0]
    fields = [line.partition(": ") for line in header.splitlines()]
    values = {key: value.strip() for key, _, value in fields}
    if "Name" not in values or "Version" not in values:
        return None
    requires = tuple(value.strip() for key, _, value in fields if key == "Requires-Dist")
    return Distribution(values["Name"], values["Version"], requires, str(found.locate_file("")))
