"""One rank of `collective`: joins the group, adds numbers, passes them on, and writes down where it is.

Started by torchrun with the folder to write to and the seconds that the others are waited for.
"""

import json
import os
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

CPU_BYTES, GPU_BYTES = 16 * 2**20, 256 * 2**20
ROUNDS = 5


class Report:
    """What this rank says of itself, in a file that is whole at every moment."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"rank-{os.environ['RANK']}.json"
        self.said: dict[str, Any] = {
            "rank": int(os.environ["RANK"]),
            "node": int(os.environ.get("GROUP_RANK", "0")),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    def __call__(self, **said: Any) -> None:
        self.said |= said
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps(self.said))
        aside.replace(self.path)


def run(report: Report, deadline_s: float) -> None:
    """All stages, each written down before it begins."""
    import torch
    import torch.distributed as dist

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, beside = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    gpu = torch.cuda.is_available() and torch.cuda.device_count() >= beside
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    report(stage="joining", backend="nccl" if gpu else "gloo", device=str(device))
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=deadline_s))
    report(stage="adding")
    wrong, speed = add(rank, world, device)
    report(stage="passing on", wrong_sums=wrong, bytes_per_second=speed)
    report(wrong_passed=pass_on(rank, world, device))
    report(stage="telling the time")
    clocks: list[Any] = [None] * world
    dist.barrier()
    dist.all_gather_object(clocks, (report.said["node"], report.said["host"], time.time()))
    report(stage="done", clocks=clocks)
    dist.destroy_process_group()


def add(rank: int, world: int, device: Any) -> tuple[int, float]:
    """Elements that are not the sum, and the bandwidth of the bus in bytes per second at its best.

    An all-reduce sends 2 × (n − 1) / n times its bytes, whatever the algorithm.
    """
    import torch
    import torch.distributed as dist

    size = GPU_BYTES if device.type == "cuda" else CPU_BYTES
    wrong, best = 0, float("inf")
    for _ in range(ROUNDS):
        numbers = torch.full((size // 4,), rank + 1.0, device=device)
        dist.barrier()
        _wait(device)
        started = time.perf_counter()
        dist.all_reduce(numbers)
        _wait(device)
        best = min(best, time.perf_counter() - started)
        wrong = max(wrong, int((numbers != world * (world + 1) / 2).sum()))
    return wrong, 2 * (world - 1) / world * size / best


def pass_on(rank: int, world: int, device: Any) -> int:
    """Wrong elements of what came from the rank before, after sending as much to the rank behind."""
    import torch
    import torch.distributed as dist

    sent = torch.full((CPU_BYTES // 4,), float(rank), device=device)
    came = torch.empty_like(sent)
    before, behind = (rank - 1) % world, (rank + 1) % world
    exchange = [dist.P2POp(dist.isend, sent, behind), dist.P2POp(dist.irecv, came, before)]
    for work in dist.batch_isend_irecv(exchange):
        work.wait()
    _wait(device)
    return int((came != float(before)).sum())


def _wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    told = Report(Path(sys.argv[1]))
    told(stage="starting")
    deadline = float(sys.argv[2])
    signal.alarm(int(deadline) + 60)  # should whoever started this die, it does not stay
    try:
        run(told, deadline)
    except Exception as failed:
        told(error=f"{type(failed).__name__}: {str(failed).partition(chr(10))[0]}")
        raise
