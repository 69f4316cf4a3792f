"""Requests to a running run: `control.json` in its directory, written by the front end, read by rank 0."""

from pathlib import Path
from typing import Literal

import msgspec

CONTROL_FILE = "control.json"
Action = Literal["stop", "checkpoint", "kill"]


class Control(msgspec.Struct, frozen=True):
    """The latest request. `t`: when it was made, Unix seconds, which tells it from others.

    `stop`: finish the step, save, end. `checkpoint`: finish the step, save, go on; a `Status` answers.
    `kill`: end at once; the supervisor's business.
    """

    action: str
    t: float = 0.0


def requested(run_dir: Path) -> Control | None:
    """What was asked for last. A file being written counts as not there yet."""
    try:
        return msgspec.json.decode((run_dir / CONTROL_FILE).read_bytes(), type=Control)
    except (OSError, msgspec.DecodeError):
        return None
