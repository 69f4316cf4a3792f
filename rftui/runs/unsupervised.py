"""Runs started by torchrun or from Python: no supervisor, no `run.json`, but events like any other."""

from pathlib import Path

import msgspec

from engine.events import AnyEvent, Header, Status
from rftui.runs.info import RunInfo, RunStatus

FIRST_FILE = "events/rank-00000.jsonl"
_HEAD_BYTES = _TAIL_BYTES = 1 << 16
_ENDS: dict[str, RunStatus] = {"finished": "finished", "stopped": "stopped"}


def is_unsupervised(folder: Path) -> bool:
    """Whether a folder without `run.json` is a run all the same."""
    return (folder / FIRST_FILE).is_file()


def info_of(folder: Path) -> RunInfo:
    """What the events of rank 0 tell of such a run; raises OSError if they cannot be read.

    It has no supervisor and no known host: whether it is alive shows only in the age of its events.
    """
    path = folder / FIRST_FILE
    with path.open("rb") as file:
        head = _events(file.read(_HEAD_BYTES))
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = _events(file.read())
    header = next((e for e in head if isinstance(e, Header)), None)
    last = next((e for e in reversed([*head, *tail]) if isinstance(e, Status)), None)
    ended = _ENDS.get(last.state) if last else None
    if any((folder / "errors").glob("rank-*.json")):
        ended = ended or "failed"
    began = header.t if header else path.stat().st_mtime
    return RunInfo(
        name=folder.name,
        status=ended or "running",
        created=began,
        started=began,
        ended=path.stat().st_mtime if ended else None,
        nproc=header.world_size if header else 1,
        host="",
        steps=max(last.step, 0) if last and ended else 0,
        total_steps=last.total_steps if last and last.total_steps > 0 else None,
    )


def _events(part: bytes) -> list[AnyEvent]:
    """The events whose whole line is in a part of a file."""
    decoder = msgspec.json.Decoder(AnyEvent)
    found: list[AnyEvent] = []
    for line in part.split(b"\n"):
        try:
            found.append(decoder.decode(line))
        except ValueError:  # cut off, torn, or of a later version
            continue
    return found
