"""Counts the memory of the training part on real ranks, case by case; rank 0 writes what came out.

Arguments: a folder, a model's config.json, and lists of settings by name of the case.
"""

import json
import sys
from pathlib import Path

import msgspec
import torch.distributed as dist

from engine.config.load import layer_from_sets, resolve
from engine.leaving import leave
from engine.simulate.real import measure_real

folder, model, cases = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
found = {name: measure_real(resolve([layer_from_sets(sets)]).config, model) for name, sets in cases.items()}
if dist.get_rank() == 0:
    (folder / "measured.json").write_bytes(msgspec.json.encode(found))
dist.destroy_process_group()
leave(0)
