"""Finds a model's shape by name: a folder, the hub's cache, a toy, or the bundled table."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from engine.findings import Finding, FindingsError, Fix
from engine.footprint.bundled import bare_name, by_name, table
from engine.footprint.hub_cache import cached_config
from engine.footprint.model_config import shape_of
from engine.footprint.shape import ModelShape
from engine.footprint.typical import shape_of_size
from engine.toy import tasks
from engine.toy.recipe import Recipe, toy_config

__all__ = ["find_model", "shape_of_size"]

TOY_PREFIX = "toy:"


def find_model(name: str) -> ModelShape:
    """The shape of a model: a local folder, `toy:NAME`, a cached hub id, or a model of the bundled table.

    In the table, names without the organisation or `-Instruct` are found too, in any case. Raises
    FindingsError: model.path-missing, model.path-invalid, model.unknown, and as `shape_of`.
    """
    if name.startswith(TOY_PREFIX):
        tasks.get(name)
        return shape_of({"model_type": "qwen2", **toy_config(Recipe())}, name)
    path = _path(name)
    exists = bool(name) and _exists(path)
    if exists and path.is_dir():
        return shape_of(_read(_config_of(path, name), name), name)
    if exists or _looks_like_path(name):
        raise FindingsError([_no_folder(path, name, exists)])
    if cached := cached_config(name):
        return shape_of(_read(cached, name), name)
    if known := by_name().get(name.lower()):
        entry, hub_id = known
        return shape_of(entry.config, hub_id)
    raise FindingsError([_unknown(name)])


def _config_of(folder: Path, name: str) -> Path:
    try:
        inside = sorted(child.name for child in folder.iterdir())
    except OSError as error:
        cause = f"{name} cannot be looked into: {error.strerror}."
        raise FindingsError(
            [_finding("model.path-invalid", cause, Fix("give a folder you can read"))]
        ) from error
    if "config.json" in inside:
        return folder / "config.json"
    cause = f"{name} is not a Hugging Face model folder: it has no config.json."
    fix = Fix("give the folder that holds config.json")
    held = f"it holds {', '.join(inside[:8]) or 'nothing'}"
    raise FindingsError([_finding("model.path-invalid", cause, fix, evidence=(held,))])


def _read(file: Path, name: str) -> Any:
    try:
        return msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        cause = f"{file} cannot be read as JSON: {error}."
        fix = Fix(f"give a folder with the config.json that {bare_name(name.rstrip('/'))} was published with")
        raise FindingsError([_finding("model.config-invalid", cause, fix)]) from error


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.endswith("/") or name.count("/") > 1


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # the home of a user that is not known
        return Path(name)


def _exists(path: Path) -> bool:
    """`Path.exists`, taking what may not be looked at, or has an impossible name, as absent."""
    try:
        return path.exists()
    except OSError:
        return False


def _no_folder(path: Path, name: str, exists: bool) -> Finding:
    if exists:
        cause = f"{name} is a file; a model is a folder with config.json."
        return _finding("model.path-invalid", cause, Fix(f"give its folder, {path.parent}"))
    try:
        siblings = [child.name for child in path.parent.iterdir()]
    except OSError:
        siblings = []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    fix = f"did you mean {path.parent / near[0]}?" if near else "give an existing folder"
    return _finding("model.path-missing", f"the model path {name} does not exist.", Fix(fix), *_other_ways())


def _unknown(name: str) -> Finding:
    cause = f"no folder, cached model or bundled model is called {name!r}."
    return _finding("model.unknown", cause, *map(Fix, _suggestions(name)), *_other_ways())


def _suggestions(name: str) -> Iterator[str]:
    ids = {hub_id.lower(): hub_id for entry in table() for hub_id in entry.ids}
    bare = {bare_name(key): hub_id for key, hub_id in ids.items()}
    for key in difflib.get_close_matches(bare_name(name).lower(), bare, n=3, cutoff=0.5):
        yield f"did you mean {bare[key]}?"


def _other_ways() -> tuple[Fix, ...]:
    return (
        Fix("give the model's folder, or just its config.json in one; or download it to the cache first"),
        Fix("or plan for a typical model of its size", command="rft plan --params 7B"),
    )


def _finding(id: str, cause: str, *fixes: Fix, evidence: tuple[str, ...] = ()) -> Finding:
    return Finding(id, "error", cause, evidence, fixes, "model.pretrain")
