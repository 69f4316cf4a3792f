"""Where a simulation gets a model's `config.json` from."""

from pathlib import Path
from typing import Any

import msgspec

from engine.findings import Finding, FindingsError, Fix
from engine.footprint.bundled import by_name
from engine.footprint.catalog import TOY_PREFIX, find_model
from engine.footprint.hub_cache import cached_config
from engine.toy.recipe import Recipe, toy_config


def config_json(source: str) -> dict[str, Any]:
    """Of a JSON file, a model folder, a toy, a hub id in the cache or a model of the bundled table.

    Raises FindingsError: model.config-invalid, and as `find_model`.
    """
    path = Path(source).expanduser()
    if source and path.is_file():
        return _read(path)
    find_model(source)
    if source.startswith(TOY_PREFIX):
        return {"model_type": "qwen2", **toy_config(Recipe())}
    if path.is_dir():
        return _read(path / "config.json")
    if cached := cached_config(source):
        return _read(cached)
    return by_name()[source.lower()][0].config


def _read(file: Path) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise FindingsError([_invalid(file, f"cannot be read as a JSON object: {error}")]) from error
    if "model_type" not in found:
        raise FindingsError([_invalid(file, "has no model_type, so nobody knows what to build")])
    return found


def _invalid(file: Path, what: str) -> Finding:
    return Finding(
        id="model.config-invalid",
        severity="error",
        cause=f"{file} {what}.",
        fixes=(Fix("Give the config.json that the model was published with."),),
        param="model.pretrain",
    )
