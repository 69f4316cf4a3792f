"""Who keeps whom waiting, from flight-recorder dumps of any trainer."""

from collections.abc import Iterable
from pathlib import Path

from diagnostics.health.hang.verdict import Verdict


def dump_files(folder: Path) -> dict[int, Path]:
    """The flight-recorder dumps directly in a folder, by rank; empty if it holds none."""
    raise NotImplementedError


def analyse_dumps(paths: Iterable[Path]) -> Verdict:
    """The verdict on dump files, or folders of them. Nothing in them is executed."""
    raise NotImplementedError
