"""Four ranks over gloo that dump their flight recorders: rank 2 keeps 3, which keeps 0 and 1."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import torch
import torch.distributed as dist

from engine.health import flight_recorder


def dump() -> None:
    time.sleep(4)
    flight_recorder.dump(Path(sys.argv[1]), dist.get_rank())
    time.sleep(2)
    os._exit(0)


dist.init_process_group("gloo")
rank = dist.get_rank()
pair = [dist.new_group([0, 1]), dist.new_group([2, 3])][rank // 2]
for _ in range(3):
    dist.all_reduce(torch.ones(4))
dist.all_reduce(torch.ones(2), group=pair)
dist.all_gather_object([None] * 4, {"a": 1})
threading.Thread(target=dump, daemon=True).start()
with contextlib.suppress(RuntimeError):  # of those who see others leave first
    if rank == 3:
        dist.all_reduce(torch.ones(2), group=pair)
    if rank != 2:
        dist.all_reduce(torch.ones(4))
time.sleep(60)
