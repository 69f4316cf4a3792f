"""Names of data sources: files, folders, hub ids with an optional configuration, `toy:NAME`."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from engine.findings import Finding, Fix

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
FORMS = f"a {', '.join(SUFFIXES)} file, a folder of them, a hub id org/name[:configuration], or toy:NAME"

_HUB_ID = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?::([\w.-]+))?")


class Source(NamedTuple):
    """One source. `name`: path, hub id or toy task; `config`: the hub data set's configuration."""

    kind: Literal["file", "folder", "hub", "toy"]
    name: str
    config: str | None = None


def parse_sources(spec: str, param: str) -> tuple[list[Source], list[Finding]]:
    """The sources of a comma separated `spec`, and a finding for each that cannot be one."""
    sources: list[Source] = []
    findings: list[Finding] = []
    for item in filter(None, (item.strip() for item in spec.split(","))):
        found = _parse(item, param)
        if isinstance(found, Source):
            sources.append(found)
        else:
            findings.append(found)
    return sources, findings


def _parse(item: str, param: str) -> Source | Finding:
    if item.startswith("toy:"):
        return Source("toy", item.removeprefix("toy:"))
    path = Path(item).expanduser()
    if path.is_dir():
        return Source("folder", str(path))
    if path.exists():
        if path.suffix.lower() in SUFFIXES:
            return Source("file", str(path))
        cause = f"{item} is not a data file: its name ends in {path.suffix or 'nothing'!r}."
        return Finding("data.format", "error", cause, fixes=(Fix(f"give {FORMS}"),), param=param)
    looks_like_path = item.startswith(("/", "./", "../", "~")) or path.suffix.lower() in SUFFIXES
    hub_id = _HUB_ID.fullmatch(item)
    if hub_id and not looks_like_path:
        return Source("hub", hub_id[1], hub_id[2])
    return _not_found(item, path, param)


def _not_found(item: str, path: Path, param: str) -> Finding:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = [str(path.with_name(name)) for name in get_close_matches(path.name, beside)]
    fixes = [*(f"use {other}" for other in near), f"give {FORMS}"]
    cause = f"There is no file or folder {item} (looked for {path.absolute()})."
    return Finding("data.not-found", "error", cause, fixes=tuple(Fix(f) for f in fixes), param=param)
