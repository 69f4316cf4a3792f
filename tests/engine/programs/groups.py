"""Ranks that come together, or do not: torchrun … groups.py RUN_DIR MODE BAD_RANK."""

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from engine import failure
from engine.config.sections import RunConfig
from engine.health import flight_recorder
from engine.leaving import leave
from engine.strategy import Strategy, get_strategy
from engine.strategy.group_check import try_out

TIMEOUT_S = 6
CONFIG = RunConfig.model_validate(
    {"parallel": {"nccl_timeout": TIMEOUT_S}, "rollout": {"engine_type": "hf", "engine_tp_size": 2}}
)


def all_well(strategy: Strategy, run_dir: Path) -> None:
    """World, engine replicas, and the mesh of a strategy that shards within pairs."""
    strategy.group_checks.check()
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    strategy.group_checks.check()
    for name in ("replicate", "shard"):
        dist.all_reduce(torch.ones(5), group=mesh.get_group(name))
    flight_recorder.dump(run_dir, strategy.rank)


def leave_after_start(strategy: Strategy, run_dir: Path, bad: bool) -> None:
    """The bad rank is gone when the groups are tried out."""
    if bad:
        time.sleep(60)
    strategy.group_checks.check()


def wrong_number(strategy: Strategy, bad: bool) -> None:
    group = strategy.tensor_group
    assert group.group is not None
    try_out(group.group, group.ranks, 7 if bad else strategy.rank, torch.device("cpu"))


def main() -> int:
    run_dir, mode, bad_rank = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    bad = int(os.environ["RANK"]) == bad_rank
    if mode == "exit" and bad:
        return 0
    if mode == "sleep" and bad:
        time.sleep(60)
    try:
        strategy = get_strategy(CONFIG)
        if mode == "all_well":
            all_well(strategy, run_dir)
        elif mode == "leave_after_start":
            leave_after_start(strategy, run_dir, bad)
        elif mode == "wrong_number":
            wrong_number(strategy, bad)
    except Exception as error:
        return failure.report(error, run_dir)
    return 0


if __name__ == "__main__":
    leave(main())
