"""A model's weight files, looked at without loading them: by their index, their sizes, their headers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from diagnostics.doctor.checks.run_facts import read_json
from engine.findings import Finding, Fix

INDEX = "model.safetensors.index.json"
OLD_INDEX = "pytorch_model.bin.index.json"
SINGLE = ("model.safetensors", "pytorch_model.bin")
POINTER = b"version https://git-lfs"
MOST_HEADER = 100 * 2**20
"""Bytes; safetensors refuses larger headers itself."""
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")


def broken_weights(folder: Path) -> Iterator[Finding]:
    """What keeps the weights in a model's folder from being loaded."""
    files = _files(folder)
    if not files:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        yield _finding(folder, f"{folder} holds no weights.", (f"it holds {there}",))
        return
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        cause = f"{len(missing)} of {len(files)} weight files that the index of {folder} names are not there."
        yield _finding(folder, cause, tuple(missing[:5]), "missing")
    present = [folder / name for name in files if name not in missing]
    pointers = [path for path in present if _begins(path, POINTER)]
    if pointers:
        size = pointers[0].stat().st_size
        cause = (
            f"{len(pointers)} weight files of {folder} are pointers of Git LFS ({size} bytes), not weights."
        )
        fix = Fix("fetch what they point to", command=f"cd {folder} && git lfs install && git lfs pull")
        yield _finding(folder, cause, tuple(path.name for path in pointers[:5]), "lfs", (fix,))
    cut = [line for path in present if path not in pointers and (line := _cut_short(path))]
    if cut:
        yield _finding(folder, f"{len(cut)} weight files of {folder} are not whole.", tuple(cut[:5]), "cut")


def weights_are_here(folder: Path) -> bool:
    """Whether all weight files are there, whole or not; of the hub's cache, what is not is still fetched."""
    files = _files(folder)
    return bool(files) and all((folder / name).is_file() for name in files)


def embedding_rows(folder: Path) -> int | None:
    """Rows of the input embedding by the headers of the weight files; None where they do not tell."""
    for name in _files(folder):
        header = _header(folder / name) if name.endswith(".safetensors") else None
        for tensor, entry in (header or {}).items():
            if tensor.endswith(EMBEDDINGS) and isinstance(entry, dict) and entry.get("shape"):
                return int(entry["shape"][0])
    return None


def _files(folder: Path) -> list[str]:
    """Names of the weight files: those that an index names, else the one that is there."""
    for name in (INDEX, OLD_INDEX):
        index = read_json(folder / name)
        if isinstance(index, dict) and isinstance(index.get("weight_map"), dict):
            return sorted(set(index["weight_map"].values()))
    return [name for name in SINGLE if (folder / name).is_file()][:1]


def _cut_short(path: Path) -> str:
    """What is wrong with the length of a safetensors file, in words; "" where nothing is."""
    size = path.stat().st_size
    if path.suffix != ".safetensors":
        return "" if size else f"{path.name}: empty"
    header = _header(path)
    if header is None:
        return f"{path.name}: {size} bytes that do not begin like a safetensors file"
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    wanted = _header_bytes(path) + max(ends, default=0)
    return "" if size == wanted else f"{path.name}: {size:,} bytes, its header says {wanted:,}"


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def _header(path: Path) -> dict[str, Any] | None:
    """The header of a safetensors file: name, dtype, shape and place of every tensor."""
    try:
        length = _header_bytes(path) - 8
        if not 0 < length <= MOST_HEADER:
            return None
        with path.open("rb") as file:
            file.seek(8)
            found = msgspec.json.decode(file.read(length))
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, dict) else None


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _finding(
    folder: Path, cause: str, evidence: tuple[str, ...], kind: str = "none", fixes: tuple[Fix, ...] = ()
) -> Finding:
    again = Fix("fetch it again; what is whole is kept", command=f"hf download ORG/NAME --local-dir {folder}")
    return Finding(f"cfg.ckpt.{kind}", "error", cause, evidence, (*fixes, again), "model.pretrain")
