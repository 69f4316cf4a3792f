"""Requests to a run: `control.json`, read by rank 0 ("stop") and by the supervisor ("kill")."""

import time
from typing import Literal

import msgspec

from engine.control import Control
from rftui.runs.info import write_atomic
from rftui.runs.rundir import RunDir


def request(run: RunDir, action: Literal["stop", "kill"]) -> None:
    """Ask for a stop after the present step, or for an immediate end."""
    write_atomic(run.control_path, msgspec.json.encode(Control(action, time.time())))


def kill_requested(run: RunDir) -> bool:
    """Whether an immediate end was asked for."""
    try:
        return msgspec.json.decode(run.control_path.read_bytes(), type=Control).action == "kill"
    except (OSError, msgspec.DecodeError):
        return False
