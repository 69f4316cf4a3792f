"""Finds a model's `config.json` in the Hugging Face cache on this machine, without its libraries."""

import os
from pathlib import Path


def cached_config(hub_id: str) -> Path | None:
    """`config.json` of the cached main revision of a hub id, None if it is not there."""
    folder = _cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
        file = folder / "snapshots" / revision / "config.json"
        return file if file.is_file() else None
    except (OSError, ValueError):
        return None


def _cache() -> Path:
    """Where `huggingface_hub` keeps downloads, by the same environment variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return Path(folder).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"
