"""Four ranks over gloo, one of which does what the first argument says; all dump their flight recorders."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

import torch
import torch.distributed as dist

from engine.health import flight_recorder

FAULT, FOLDER = sys.argv[1], Path(sys.argv[2])


def dump() -> None:
    time.sleep(4)
    flight_recorder.dump(FOLDER, dist.get_rank())
    time.sleep(2)
    os._exit(0)


dist.init_process_group("gloo")
odd = dist.get_rank() == 2
pair = [dist.new_group([0, 1]), dist.new_group([2, 3])][dist.get_rank() // 2]
for _ in range(3):
    dist.all_reduce(torch.ones(4))
dist.all_reduce(torch.ones(2), group=pair)
dist.all_gather_object([None] * 4, {"a": 1})
threading.Thread(target=dump, daemon=True).start()
with contextlib.suppress(RuntimeError):  # of those who see others leave first
    if FAULT == "pair":  # rank 2 keeps 3, which keeps 0 and 1
        if dist.get_rank() == 3:
            dist.all_reduce(torch.ones(2), group=pair)
        if not odd:
            dist.all_reduce(torch.ones(4))
    elif FAULT == "operation":
        if odd:
            dist.all_gather([torch.ones(4)] * 4, torch.ones(4))
        dist.all_reduce(torch.ones(4))
time.sleep(60)
