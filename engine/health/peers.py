"""Where the other ranks were when one failed waiting for them, as their event files tell."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.events import AnyEvent, Header, Heartbeat, Phase

_TAIL_BYTES = 16_384
_SILENT_S = 15.0
_DECODER = msgspec.json.Decoder(AnyEvent)


@dataclass(frozen=True)
class Place:
    """A rank's step and phase, `begin` or `end`, and when it last said anything (Unix seconds)."""

    step: int
    phase: str
    state: str
    t: float
    heartbeat: Heartbeat | None = None
    """The last one: which collective of the engine's own the rank is in, if it is in one."""

    def words(self, now: float) -> str:
        """The place as part of a sentence."""
        where = f"{'in' if self.state == 'begin' else 'after'} phase {self.phase} of step {self.step}"
        silent = now - self.t
        return where + (f", silent for {silent:.0f} s" if silent > _SILENT_S else "")


def elsewhere(run_dir: Path, rank: int, world_size: int) -> dict[int, str]:
    """The ranks that are in another place than `rank`, or say nothing any more, with where that is."""
    now = time.time()
    own = place_of(run_dir, rank)
    told: dict[int, str] = {}
    for other in range(world_size):
        place = place_of(run_dir, other)
        if place is None:
            told[other] = "has written no event"
        elif own is None or _differs(place, own) or now - place.t > _SILENT_S:
            told[other] = f"is {place.words(now)}"
    told.pop(rank, None)
    return told


def _differs(one: Place, other: Place) -> bool:
    return (one.step, one.phase, one.state) != (other.step, other.phase, other.state)


def place_of(run_dir: Path, rank: int) -> Place | None:
    """Where a rank is, from the end of its event file; None if it has written nothing yet."""
    phase, heartbeat, last = None, None, 0.0
    for event in _last_events(run_dir / "events" / f"rank-{rank:05d}.jsonl"):
        if isinstance(event, Phase):
            phase = event
        elif isinstance(event, Heartbeat):
            heartbeat = event
        elif isinstance(event, Header):  # an earlier process of this rank left the rest
            phase, heartbeat = None, None
        if isinstance(event, Phase | Heartbeat):
            last = event.t
    if phase:
        return Place(phase.step, phase.name, phase.state, last, heartbeat)
    if heartbeat:  # so long in one phase that its begin is far up in the file
        return Place(heartbeat.step, heartbeat.phase, "begin", last, heartbeat)
    return None


def _last_events(path: Path) -> list[AnyEvent]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    events: list[AnyEvent] = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):  # torn, or cut by the tail
            events.append(_DECODER.decode(line))
    return events
