"""The log files of a run: who wrote them, and in which order they came to be."""

import os
import re
from pathlib import Path

from rftui.tui.logs.files import Blocks, LogFile
from rftui.tui.logs.stamps import naive

_RANK = re.compile(r"rank[-_.]?0*(\d+)$", re.IGNORECASE)
_PART = re.compile(r"^(.*)\.(\d{1,3})$")
_ENDINGS = (".log", ".out", ".err", ".txt")
_ATTEMPT = re.compile(r"attempt_(\d+)")
MOST = 2048
"""Files that are read."""


def log_files(folder: Path, born: float, cache: Blocks) -> list[LogFile]:
    """All logs below a folder, ranks first; older parts before newer ones.

    `born`: when the run began, Unix time. OSError when the folder cannot be read.
    """
    os.listdir(folder)  # noqa: PTH208  os.walk would say nothing about a folder that is gone
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            stem, part = _parted(name)
            if stem.endswith(_ENDINGS):
                path = Path(place, name)
                found.append((_writer(path.with_name(stem), folder), -part, path))
    found.sort(key=lambda entry: (_order(entry[0]), entry[1]))
    files: list[LogFile] = []
    for writer, _, path in found[:MOST]:
        same = bool(files) and files[-1].writer == writer
        files.append(LogFile(path, writer, cache, born=_modified(files[-1].path) if same else naive(born)))
    return files


def _parted(name: str) -> tuple[str, int]:
    """Name without the number of a rotated part, and that number."""
    found = _PART.match(name)
    return (found[1], int(found[2])) if found else (name, 0)


def _writer(path: Path, folder: Path) -> str:
    """`r3`, `launcher`; with its attempt and folder where torchrun made folders of them."""
    if found := _RANK.search(path.stem):
        return f"r{int(found[1])}"
    inner = path.relative_to(folder).parts[:-1]
    attempt = next((f"a{found[1]} " for part in inner if (found := _ATTEMPT.fullmatch(part))), "")
    if inner and inner[-1].isdecimal():
        return f"{attempt}r{int(inner[-1])}" + (" err" if path.stem == "stderr" else "")
    return attempt + path.stem


def _order(writer: str) -> tuple[int, str, int]:
    """Ranks by number, then others by name."""
    head, _, rank = writer.rpartition("r")
    digits = rank.removesuffix(" err")
    return (0, head, int(digits)) if digits.isdecimal() else (1, writer, 0)


def _modified(path: Path) -> float:
    try:
        return naive(path.stat().st_mtime)
    except OSError:
        return 0.0
