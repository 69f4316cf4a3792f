"""A rank's voice: phases, memory, collectives, heartbeats and metrics, written to its event file."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.events import Collective, Event, EventWriter, Heartbeat, Memory, Phase
from engine.health import flight_recorder
from engine.health.background import Background
from engine.health.collective_times import CollectiveTimes
from engine.health.memory_marks import MemoryMarks
from engine.health.stacks import StackDumps

TICK_S = 1.0
TICKS_PER_HEARTBEAT = 5


class Telemetry:
    """Times the phases of each step and writes them, with memory marks, collectives, and heartbeats.

    A thread of its own gives a heartbeat every 5 seconds and answers SIGUSR1 with the stacks of all threads
    and a dump of the flight recorder. `collectives` is the strategy's watch.
    """

    def __init__(self, run_dir: Path, rank: int, world_size: int, device: torch.device) -> None:
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        self.run_dir = run_dir
        # Before the header tells the pid: who has read it may send the signal.
        self._stacks = StackDumps(run_dir / "stacks" / f"rank-{rank:05d}.txt")
        self.writer = EventWriter(
            run_dir / "events" / f"rank-{rank:05d}.jsonl",
            rank=rank,
            world_size=world_size,
            host=socket.gethostname(),
            device=self.device_name,
        )
        self.device = device
        self.step = 0
        self.phase_name = "start"
        self.collectives = CollectiveTimes(device, lambda: (self.step, self.phase_name))
        self.seconds: dict[str, float] = {}
        self._memory = MemoryMarks(device)
        self._stop = threading.Event()
        self._thread = Background(self._listen, name="heartbeat", run_dir=run_dir)
        self._thread.start()

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Write an event stamped with time and rank."""
        self.writer.emit(kind, **fields)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of the present step. Repeated phases of a step add up in `seconds`."""
        self.emit(Phase, step=self.step, name=name, state="begin")
        self._synchronize()
        outer, self.phase_name = self.phase_name, name
        self._memory.begin()
        start = time.perf_counter()
        try:
            yield
            self._synchronize()
            seconds = time.perf_counter() - start
        finally:
            self.phase_name = outer
            memory = self._memory.end()
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.emit(Phase, step=self.step, name=name, state="end", seconds=seconds)
        self.emit(Memory, step=self.step, phase=name, **memory)
        self._tell_collectives()

    def take_seconds(self) -> dict[str, float]:
        """Phase seconds since the last call."""
        taken, self.seconds = self.seconds, {}
        return taken

    def heartbeat(self) -> None:
        """Say that this rank lives, and where it is."""
        self.emit(Heartbeat, step=self.step, phase=self.phase_name, **self.collectives.last())

    def close(self) -> None:
        """Stop the heartbeat and close the files."""
        self._stop.set()
        self._thread.join()
        self._tell_collectives()
        self._stacks.close()
        self.writer.close()

    def _listen(self) -> None:
        for tick in itertools.count(1):
            if self._stop.wait(TICK_S):
                return
            if self._stacks.asked():
                flight_recorder.dump(self.run_dir, self.writer.rank)
            if tick % TICKS_PER_HEARTBEAT == 0:
                self.heartbeat()

    def _tell_collectives(self) -> None:
        for totals in self.collectives.take():
            self.emit(Collective, **totals)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
