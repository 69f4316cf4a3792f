"""A run on several GPUs or hosts, whose ranks tell of collectives, and one of which may be late."""

from pathlib import Path
from typing import Any

from fake_run import GIB, FakeRun

from engine.events import Collective, EventWriter, Gpu, Heartbeat

WAIT_S = {"works": 0.4, "late": 0.02}


class FakeCluster(FakeRun):
    """Like `FakeRun`, with `hosts` hosts of `ranks / hosts` H200s each."""

    def __init__(self, runs_dir: Path, name: str, *, hosts: int = 1, ranks: int = 8, **options: Any) -> None:
        super().__init__(runs_dir, name, ranks=ranks, **options)
        self.gpu = False  # the hosts' samplers tell of them
        self.hosts = hosts
        self.sequence = 0
        self.cold: set[int] = set()
        """Ranks whose GPUs idle."""
        self.writers = [
            EventWriter(
                self.run.events_dir / f"rank-{rank:05d}.jsonl",
                rank=rank,
                world_size=ranks,
                host=self.host_of(rank),
                device="NVIDIA H200",
            )
            for rank in range(ranks)
        ]
        self.samplers = [
            EventWriter(self.run.events_dir / f"host-node{host}.jsonl", host=f"node{host}")
            for host in range(hosts)
        ]

    def host_of(self, rank: int) -> str:
        return f"node{rank * self.hosts // self.ranks}"

    def step(self) -> None:
        super().step()
        self.sequence += 40
        for rank in range(self.ranks):
            wait = WAIT_S["late" if rank in self.cold else "works"] * self.random.uniform(0.8, 1.2)
            fields = {"group": "world", "op": "all_reduce", "size": 1 << 20, "seconds": wait}
            self._emit(rank, Collective, step=self.done, seq=self.sequence, phase="update", **fields)
            self._emit(rank, Heartbeat, step=self.done, phase="update", seq=self.sequence, group="world")
        self.sample()

    def sample(self) -> None:
        """What each host's sampler says of its GPUs now."""
        for rank in range(self.ranks):
            host = rank * self.hosts // self.ranks
            cold = rank in self.cold
            self.samplers[host].write(
                Gpu(
                    t=self.now,
                    host=f"node{host}",
                    index=rank % (self.ranks // self.hosts),
                    name="NVIDIA H200",
                    memory_used=int((120 + self.random.uniform(-1, 2)) * GIB),
                    memory_total=141 * GIB,
                    utilization=18.0 if cold else 91.0 + rank % 9,
                    power=210.0 if cold else 650.0 + 5 * (rank % 8),
                    temperature=62.0 + rank % 9,
                )
            )

    def straggle(self, late: int, waited: float = 14.0, behind: int = 2) -> None:
        """All ranks but one wait in the next collective, for that many seconds by now."""
        self.cold.add(late)
        for rank in range(self.ranks):
            mine = {"seq": self.sequence + 1 - behind} if rank == late else {}
            waiting = {} if rank == late else {"waiting": waited, "seq": self.sequence + 1}
            fields: dict[str, Any] = {"group": "world", "op": "all_reduce"} | mine | waiting
            self._emit(rank, Heartbeat, step=self.done, phase="update", **fields)
        self.sample()

    def _memory(self, phase: str, rank: int) -> dict[str, int]:
        used = int({"rollout": 119, "update": 124}.get(phase, 96) * GIB)
        torch = {"reserved": used, "reserved_peak": used, "peak": used}
        return {"rss": 9 * GIB, "device_used": used + GIB} | torch
