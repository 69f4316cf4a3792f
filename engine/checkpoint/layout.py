"""What a checkpoint looks like on disk, and which ones are complete. Imports neither torch nor transformers.

    step-<n>/
      shards/           model and optimizer, torch DCP, one file per rank
      trainer.pt        global state      rank-00000.pt …   state of one rank
      hf/               config.json, tokenizer, generation settings
      manifest.json     written last: every file with its size
    final/              the trained model as a Hugging Face folder

Beside them, `.partial` is being written, `.trash` is being deleted, `.old` gives way to a new one.
"""

import os
import re
import shutil
from pathlib import Path

import msgspec

SHARDS, TRAINER_STATE, HF_ASSETS, MANIFEST, FINAL = "shards", "trainer.pt", "hf", "manifest.json", "final"

_STEP = re.compile(r"step-(\d+)")
_UNFINISHED = re.compile(r"(step-\d+|final)\.(partial|trash|old)")


class Manifest(msgspec.Struct, frozen=True):
    """What a complete checkpoint says of itself; `files` maps relative path to bytes."""

    step: int
    world_size: int
    torch: str
    files: dict[str, int]
    version: int = 1

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


def step_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of `step` is."""
    return root / f"step-{step}"


def rank_file(rank: int) -> str:
    """Name of the file with the state of one rank."""
    return f"rank-{rank:05d}.pt"


def beside(folder: Path, suffix: str) -> Path:
    """The name of `folder` while it is `partial`, `trash` or `old`."""
    return folder.with_name(f"{folder.name}.{suffix}")


def write_manifest(folder: Path, step: int, world_size: int, torch_version: str) -> Manifest:
    """Seal `folder`: list its files, and force them and the list to the disk."""
    found = sorted(folder.rglob("*"))
    for path in found:
        fsync(path)
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in found if path.is_file()}
    manifest = Manifest(step, world_size, torch_version, files)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    fsync(folder / MANIFEST)
    fsync(folder)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a complete checkpoint; None if it is not one or not whole."""
    if not _STEP.fullmatch(folder.name):
        return None
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        whole = all((folder / name).stat().st_size == size for name, size in manifest.files.items())
    except (OSError, msgspec.DecodeError):
        return None
    return manifest if whole else None


def complete_steps(root: Path) -> dict[int, Path]:
    """The complete checkpoints under `root` by step, the earliest first."""
    if not root.is_dir():
        return {}
    found = {int(m[1]): path for path in root.iterdir() if (m := _STEP.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found) if read_manifest(found[step]) is not None}


def put_in_place(partial: Path, folder: Path) -> None:
    """Rename a finished `partial` to `folder`; an earlier one gives way, and comes back if this dies."""
    old = beside(folder, "old")
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    fsync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def delete(folder: Path) -> None:
    """Delete a checkpoint so that half of it is never taken for the whole."""
    trash = beside(folder, "trash")
    folder.rename(trash)
    shutil.rmtree(trash)


def clean(root: Path) -> None:
    """Remove what a killed process left half written or half deleted."""
    leftovers = {path: m for path in root.iterdir() if (m := _UNFINISHED.fullmatch(path.name))}
    for path, match in leftovers.items():
        if match[2] == "old" and not (root / match[1]).exists():
            path.rename(root / match[1])
        else:
            shutil.rmtree(path)


def set_aside(root: Path, step: int) -> None:
    """Rename complete checkpoints after `step` to `step-<n>.superseded`: kept, but never resumed from."""
    for later, folder in complete_steps(root).items():
        if later > step:
            aside = beside(folder, "superseded")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)


def fsync(path: Path) -> None:
    """Force a file's content, or a folder's names, to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
