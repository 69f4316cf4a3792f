"""Requests to a running run: `control.json` in its directory, written by the front end, read by rank 0."""

from pathlib import Path

import msgspec

CONTROL_FILE = "control.json"


class Control(msgspec.Struct, frozen=True):
    """`stop`: finish the step, save, end. `t`: when it was asked, Unix seconds."""

    action: str
    t: float = 0.0


def stop_requested(run_dir: Path) -> bool:
    """Whether a stop was asked for. A file being written counts as not there yet."""
    try:
        return msgspec.json.decode((run_dir / CONTROL_FILE).read_bytes(), type=Control).action == "stop"
    except (OSError, msgspec.DecodeError):
        return False
