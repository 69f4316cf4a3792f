"""Keeps the logs of a run from filling the disk."""

import os
import shutil
from pathlib import Path

MAX_BYTES = 64 * 1024**2
KEPT = 2


def rotate(logs_dir: Path, max_bytes: int = MAX_BYTES) -> None:
    """Move what a log beyond `max_bytes` holds to `<name>.1`, keeping `KEPT` old parts.

    The file is copied and cut to nothing, not renamed: its writers hold it open for appending and go on at
    its new end. What they write between the copy and the cut is lost.
    """
    for log in logs_dir.glob("*.log"):
        try:
            if log.stat().st_size > max_bytes:
                _rotate(log)
        except OSError:  # no space for the copy: the log grows on, and the next round tries again
            log.with_name(log.name + ".part").unlink(missing_ok=True)


def _rotate(log: Path) -> None:
    part = log.with_name(log.name + ".part")
    shutil.copyfile(log, part)
    os.truncate(log, 0)
    for number in range(KEPT, 1, -1):
        older, newer = log.with_name(f"{log.name}.{number}"), log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)
    part.replace(log.with_name(f"{log.name}.1"))
