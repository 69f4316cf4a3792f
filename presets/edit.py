"""Changes settings in a YAML file where they stand: comments, order and everything else stay as they are."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.config.registry import find, parameters
from engine.config.yamlfile import dump_scalar
from engine.findings import EXIT_UNFIT, Finding, FindingsError, Fix
from presets.loader import load


def set_values(file: Path, edits: Mapping[str, Any]) -> None:
    """Write `section.key` values into a preset's or user's file, all or none.

    Raises FindingsError where the file would not say so afterwards (aliases, settings spread over several
    lines), or cannot be written; the file is unchanged then.
    """
    text = file.read_text(encoding="utf-8")
    try:
        for key, value in edits.items():
            text = _edited(text, key, dump_scalar(value))
    except yaml.YAMLError:
        raise FindingsError([_not_edited(file, edits)], EXIT_UNFIT) from None
    _replace(file, text, edits)


def _edited(text: str, key: str, value: str) -> str:
    section, name = key.split(".")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    top = list(root.value) if isinstance(root, yaml.MappingNode) else []
    inside = next(
        (node for word, node in top if word.value == section and isinstance(node, yaml.MappingNode)), None
    )
    entries = [*top, *(inside.value if inside else [])]
    found = next((node for word, node in entries if _names(word.value, key)), None)
    if found is not None:
        before, after = text[: found.start_mark.index], text[found.end_mark.index :]
        return f"{before}{' ' if before.endswith(':') else ''}{value}{after}"
    if inside is None:
        return f"{text.rstrip()}\n{section}:\n  {name}: {value}\n".lstrip()
    if inside.flow_style:
        start = inside.start_mark.index + 1
        return f"{text[:start]}{name}: {value}{', ' if inside.value else ''}{text[start:]}"
    first = inside.start_mark
    return f"{text[: first.index]}{name}: {value}\n{' ' * first.column}{text[first.index :]}"


def _names(word: str, key: str) -> bool:
    match = find(word)
    return match is not None and match.parameter.key == key and not match.negated


def _replace(file: Path, text: str, edits: Mapping[str, Any]) -> None:
    """By way of a new file beside it, which is read back first."""
    try:
        handle, name = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.stem}-", suffix=".yaml")
        new = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as target:
                target.write(text)
            if not _says(new, edits):
                raise FindingsError([_not_edited(file, edits)], EXIT_UNFIT)
            new.chmod(file.stat().st_mode & 0o777)
            new.replace(file.resolve())
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        finding = Finding("config.not-edited", "error", f"{file} cannot be written: {error.strerror}.")
        raise FindingsError([finding], EXIT_UNFIT) from error


def _says(file: Path, edits: Mapping[str, Any]) -> bool:
    try:
        layer = load(str(file)).layer
    except FindingsError:
        return False
    return not layer.findings and all(
        layer.values.get(key, parameters()[key].default) == value for key, value in edits.items()
    )


def _not_edited(file: Path, edits: Mapping[str, Any]) -> Finding:
    words = ", ".join(f"{key}: {dump_scalar(value)}" for key, value in edits.items())
    return Finding(
        id="config.not-edited",
        severity="error",
        cause=f"{file} is written in a way that cannot be changed by a program; it is as it was.",
        fixes=(Fix(f"write it yourself: {words}"),),
    )
