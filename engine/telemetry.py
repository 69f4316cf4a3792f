"""A rank's voice: phases, memory, heartbeats and metrics, written to its event file."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.events import Event, EventWriter, Heartbeat, Memory, Phase

HEARTBEAT_SECONDS = 5.0


class Telemetry:
    """Times the phases of each step and writes them, with memory marks and a heartbeat every 5 seconds."""

    def __init__(self, run_dir: Path, rank: int, world_size: int, device: torch.device) -> None:
        self.device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
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
        self.seconds: dict[str, float] = {}
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def emit(self, kind: type[Event], **fields: Any) -> None:
        """Write an event stamped with time and rank."""
        self.writer.emit(kind, **fields)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase of the present step. Repeated phases of a step add up in `seconds`."""
        outer, self.phase_name = self.phase_name, name
        self.emit(Phase, step=self.step, name=name, state="begin")
        self._synchronize()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phase_name = outer
        self._synchronize()
        seconds = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.emit(Phase, step=self.step, name=name, state="end", seconds=seconds)
        self.emit(Memory, step=self.step, phase=name, **self._memory())

    def take_seconds(self) -> dict[str, float]:
        """Phase seconds since the last call."""
        taken, self.seconds = self.seconds, {}
        return taken

    def close(self) -> None:
        """Stop the heartbeat and close the file."""
        self._stop.set()
        self._thread.join()
        self.writer.close()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self.emit(Heartbeat, step=self.step, phase=self.phase_name)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _memory(self) -> dict[str, int]:
        memory = {"rss": self._process.memory_info().rss}
        if self.device.type == "cuda":
            memory["allocated"] = torch.cuda.memory_allocated(self.device)
            memory["reserved"] = torch.cuda.memory_reserved(self.device)
            memory["peak"] = torch.cuda.max_memory_allocated(self.device)
        return memory
