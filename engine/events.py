"""The schema of everything a run says about itself, and its writer.

One JSON object per line, append only, one file per writer (`rank-00000.jsonl`, `host-<name>.jsonl`,
`supervisor.jsonl`). `t` is Unix time in seconds. Readers must accept a torn last line, unknown kinds and
fields added later, so fields are only ever added, with defaults. The first line of each file is a `header`.
Imports neither torch nor transformers.
"""

import os
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.findings import Finding

SCHEMA_VERSION = 1


class Event(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True, gc=False):
    """Base of all events. `rank` is −1 for the supervisor and for host samplers."""

    t: float
    rank: int = -1


class Header(Event, frozen=True, tag="header"):
    """First line of a file: who writes it, with which schema."""

    version: int = SCHEMA_VERSION
    pid: int = 0
    host: str = ""
    world_size: int = 1
    device: str = ""


class Metric(Event, frozen=True, tag="metric"):
    """Scalars of one optimizer step (or evaluation), global over ranks. A non-finite value is null."""

    step: int
    values: dict[str, float | None]


class Phase(Event, frozen=True, tag="phase"):
    """A phase of a step begins or ends; `seconds` stands at the end."""

    step: int
    name: str
    state: Literal["begin", "end"]
    seconds: float = 0.0


class Memory(Event, frozen=True, tag="memory"):
    """Memory of one rank in bytes after a phase; device fields are 0 without a GPU.

    `peak` (allocated on the device), `reserved_peak` and `rss_peak` (resident) are the highest within the
    phase, phases nested in it included. `device_used`: of the device, by all processes, at its end.
    """

    step: int
    phase: str
    rss: int
    allocated: int = 0
    reserved: int = 0
    peak: int = 0
    rss_peak: int = 0
    reserved_peak: int = 0
    device_used: int = 0

    @property
    def held(self) -> int:
        """The most that the rank held within the phase: of the device where there is one, else resident.

        torch cannot tell what the driver and a sleeping engine hold, nor the driver a peak: so it is what
        was in use at the end, and what torch had reserved beyond that before.
        """
        if not self.device_used:
            return self.rss_peak or self.rss
        return self.device_used + max(0, self.reserved_peak - self.reserved)


class Collective(Event, frozen=True, tag="collective"):
    """The collectives of one kind that the engine itself issued over one group since it last said so.

    `size`: bytes that this rank put in, 0 for Python objects; `seconds`: spent in them, waiting included;
    both are sums over `count` collectives. `longest`: seconds of the longest one. `seq`: the number of the
    last one among all collectives of the group, from 1 on. `phase`: where they happened.
    """

    step: int
    group: str
    op: str
    size: int
    seconds: float
    seq: int = 0
    count: int = 1
    longest: float = 0.0
    phase: str = ""


class Heartbeat(Event, frozen=True, tag="heartbeat"):
    """A rank is alive, in this phase of this step.

    `group`, `op` and `seq` name the last collective that the engine entered on it, empty and 0 before the
    first; `waiting`: seconds that it has been in flight, null when it is over.
    """

    step: int
    phase: str
    group: str = ""
    op: str = ""
    seq: int = 0
    waiting: float | None = None


class Gpu(Event, frozen=True, tag="gpu"):
    """One sample of one GPU: bytes, percent, watts, degrees Celsius; null where the device does not tell.

    `throttled`: why its clocks are low, in words; `ecc_errors`: uncorrected ones since the driver was loaded.
    """

    host: str
    index: int
    name: str = ""
    memory_used: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    power: float | None = None
    temperature: float | None = None
    power_limit: float | None = None
    throttled: tuple[str, ...] | None = None
    ecc_errors: int | None = None


class Host(Event, frozen=True, tag="host"):
    """One sample of a machine: CPU percent, memory and disk in bytes.

    `memory_limit`, `memory_left`: of the container, null without one; `oom_kills`: processes that the kernel
    has ended there for lack of memory. `shm`: /dev/shm.
    """

    host: str
    cpu: float
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int = 0
    memory_limit: int | None = None
    memory_left: int | None = None
    oom_kills: int | None = None
    shm_free: int | None = None
    shm_total: int | None = None


class Sample(Event, frozen=True, tag="sample"):
    """One response worth a look; the full record is in the trajectory database."""

    step: int
    prompt: str
    response: str
    reward: float
    label: str = ""
    truncated: bool = False


class Alert(Event, frozen=True, tag="alert"):
    """A finding raised or cleared while the run is on."""

    state: Literal["raised", "cleared"]
    finding: Finding
    step: int = -1


class CheckpointEvent(Event, frozen=True, tag="checkpoint"):
    """A checkpoint was completed, failed to be written, or was deleted by retention."""

    step: int
    state: Literal["complete", "failed", "deleted"]
    path: str = ""
    bytes: int = 0
    seconds: float = 0.0
    message: str = ""


class Status(Event, frozen=True, tag="status"):
    """What the run or a rank is doing now; `total_steps` as soon as it is known.

    Rank 0 says `state="resumed"` with `step=N` after loading the checkpoint of step N: what earlier lines of
    its file tell of later steps is superseded. `answers`: the `t` of the request in `control.json` that is
    done ("checkpointed") or was in vain ("running").
    """

    state: str
    message: str = ""
    step: int = -1
    total_steps: int = -1
    answers: float = 0.0


AnyEvent = (
    Header
    | Metric
    | Phase
    | Memory
    | Collective
    | Heartbeat
    | Gpu
    | Host
    | Sample
    | Alert
    | CheckpointEvent
    | Status
)


class EventWriter:
    """Appends events to one file; each line reaches the operating system before `write` returns.

    A line is one `write(2)` to a file opened for appending, so a killed process leaves at most one torn
    line, and a resumed one starts on a fresh line. A full disk must not end a run: the event is dropped,
    `dropped` counts it.
    """

    def __init__(
        self, path: Path, *, rank: int = -1, world_size: int = 1, host: str = "", device: str = ""
    ) -> None:
        self.path = path
        self.rank = rank
        self.dropped = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._encoder = msgspec.json.Encoder()
        self._torn = _ends_torn(path)
        self.write(
            Header(t=time.time(), rank=rank, pid=os.getpid(), host=host, world_size=world_size, device=device)
        )

    def write(self, event: Event) -> None:
        """Append one event."""
        line = self._encoder.encode(event) + b"\n"
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError:
            written = 0
        self._torn = written < len(line)
        self.dropped += self._torn

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Append an event of `kind` stamped with the time and this writer's rank."""
        self.write(kind(t=time.time(), rank=self.rank, **fields))

    def close(self) -> None:
        """Close the file; the writer cannot be used afterwards."""
        os.close(self._fd)


def _ends_torn(path: Path) -> bool:
    """Whether the file's last line lacks its newline (a previous writer was killed)."""
    size = path.stat().st_size
    if size == 0:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"
