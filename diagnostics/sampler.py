"""Samples the GPUs and the machine of a run into its `events/host-<name>.jsonl`."""

import re
import shutil
import socket
import threading
from pathlib import Path

import psutil

from diagnostics import host_facts
from diagnostics.gpu_facts import GpuFacts
from diagnostics.nvml import Nvml
from engine.events import EventWriter, Gpu, Host

INTERVAL_S = 2.0


class Sampler:
    """Writes one `gpu` event per GPU and one `host` event every `INTERVAL_S` from a thread of its own.

    A thread, because a query to a failing GPU can block for minutes and must not hold up the supervisor.
    """

    def __init__(self, run_dir: Path, gpus: tuple[GpuFacts, ...], nvml: Nvml) -> None:
        self.host = socket.gethostname()
        self._run_dir, self._gpus, self._nvml = run_dir, gpus, nvml
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", self.host)
        self._writer = EventWriter(run_dir / "events" / f"host-{safe}.jsonl", host=self.host)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin; the first sample is written at once."""
        psutil.cpu_percent()  # the first reading only starts psutil's measuring interval
        self._thread.start()

    def stop(self) -> None:
        """End, waiting no longer than a healthy sample takes; a thread stuck in a query is left behind."""
        self._end.set()
        self._thread.join(timeout=INTERVAL_S)

    def sample(self) -> None:
        """Write one sample of everything."""
        for gpu in self._gpus:
            now = self._nvml.sample(gpu.index)
            self._writer.emit(
                Gpu,
                host=self.host,
                index=gpu.index,
                name=gpu.name,
                memory_used=now.memory_used,
                memory_total=now.memory_total,
                utilization=now.utilization,
                power=now.power,
                temperature=now.temperature,
                power_limit=now.power_limit,
                throttled=now.throttled,
                ecc_errors=now.ecc_errors,
            )
        memory, disk = psutil.virtual_memory(), shutil.disk_usage(self._run_dir)
        shm = host_facts.room(host_facts.SHM) if host_facts.SHM.exists() else None
        self._writer.emit(
            Host,
            host=self.host,
            cpu=psutil.cpu_percent(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk.free,
            disk_total=disk.total,
            memory_limit=host_facts.memory_limit(),
            memory_left=host_facts.memory_left(),
            oom_kills=host_facts.oom_kills(),
            shm_free=shm[1] if shm else None,
            shm_total=shm[0] if shm else None,
        )

    def _run(self) -> None:
        while True:
            try:
                self.sample()
            except OSError:  # the run directory was removed, or /proc is being torn down: nothing to sample
                return
            if self._end.wait(INTERVAL_S):
                return
